//! One peer connection of the `webrtc` crate with one audio track, and what it hears.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringfleet::media::audio::{Detector, Marker, Reference};
use ringfleet::media::codec::{Codec, Decoder, LISTENING_RATE, LONGEST};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::sync::Notify;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
};

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Samples of a packet at the listening rate: 20 ms.
const FRAME: usize = 160;

/// How a peer is made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub codec: Codec,
    /// The only profile of SRTP that it takes; its own choice where none is named.
    pub profile: Option<SrtpProtectionProfile>,
    /// What it is in DTLS where it answers; its own choice where none is named.
    pub role: Option<RTCDtlsRole>,
    /// It sends back what comes, and no reference audio of its own.
    pub echo: bool,
    /// The first four characters of the markers that it sends.
    pub id: u16,
}

/// How long this program, which has one thread, was away at most so far, ms: what falls into such a time is no fault of who it
/// talks to.
pub async fn watch_own_lateness(worst_ms: Arc<Mutex<f64>>) {
    const EVERY: Duration = Duration::from_millis(10);
    loop {
        let due = tokio::time::Instant::now() + EVERY;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed().as_secs_f64() * 1e3;
        let mut worst = worst_ms.lock().expect("nobody panics with it");
        *worst = worst.max(late);
    }
}

/// What a peer has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Each time that it was connected: since when it had both descriptions, and after how long.
    pub connected_ms: Vec<f64>,
    pub sent: u64,
    pub received: u64,
    /// Sequence numbers that were passed over.
    pub lost: u64,
    /// Markers of its own that came back.
    pub markers: u64,
    last: Option<u16>,
    described: Option<Instant>,
}

/// One peer.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    shared: Arc<Shared>,
    wanted: Wanted,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    gathered: Notify,
    connected: Notify,
    /// What came and is to go back.
    echo: Mutex<Option<tokio::sync::mpsc::Sender<Bytes>>>,
}

impl Shared {
    fn see(&self, act: impl FnOnce(&mut Seen)) {
        act(&mut self.seen.lock().expect("nobody panics with it"));
    }
}

struct Handler {
    shared: Arc<Shared>,
    wanted: Wanted,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.shared.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.shared.see(|seen| {
                if let Some(since) = seen.described.take() {
                    seen.connected_ms.push(since.elapsed().as_secs_f64() * 1e3);
                }
            });
            self.shared.connected.notify_one();
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(listen(track, Arc::clone(&self.shared), self.wanted));
    }
}

/// Counts what comes, and recognises the markers of this peer in it.
async fn listen(track: Arc<dyn TrackRemote>, shared: Arc<Shared>, wanted: Wanted) {
    let (mut decoder, mut detector, mut linear) = (Decoder::default(), Detector::default(), [0.0; LONGEST]);
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        let samples = decoder.decode(wanted.codec, &packet.payload, &mut linear);
        let found = detector.feed(&linear[..samples]).is_some_and(|found| found.marker.id == wanted.id);
        shared.see(|seen| {
            let number = packet.header.sequence_number;
            let gap = seen.last.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
            seen.lost += u64::from(if gap < 0x8000 { gap } else { 0 });
            seen.last = Some(number);
            seen.received += 1;
            seen.markers += u64::from(found);
        });
        let echo = shared.echo.lock().expect("nobody panics with it").clone();
        if let Some(echo) = echo {
            // One that waits too long is lost, as on a line.
            let _ = echo.try_send(packet.payload);
        }
    }
}

fn codec_of(codec: Codec) -> (RTCRtpCodec, u8) {
    let (mime, rate, channels, fmtp, number) = match codec {
        Codec::Opus => ("audio/opus", 48_000, 2, "minptime=10;useinbandfec=1", 111),
        Codec::Pcma => ("audio/PCMA", 8000, 0, "", 8),
        _ => ("audio/PCMU", 8000, 0, "", 0),
    };
    let (mime_type, sdp_fmtp_line) = (mime.to_owned(), fmtp.to_owned());
    (RTCRtpCodec { mime_type, clock_rate: rate, channels, sdp_fmtp_line, rtcp_feedback: Vec::new() }, number)
}

impl Peer {
    /// # Errors
    /// What the crate says.
    pub async fn new(wanted: Wanted) -> Fallible<Self> {
        let (codec, payload_type) = codec_of(wanted.codec);
        let mut engine = MediaEngine::default();
        let parameters = RTCRtpCodecParameters { rtp_codec: codec.clone(), payload_type, ..Default::default() };
        engine.register_codec(parameters, RtpCodecKind::Audio)?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let mut settings = SettingEngineBuilder::new();
        if let Some(profile) = wanted.profile {
            settings = settings.with_srtp_protection_profiles(vec![profile]);
        }
        if let Some(role) = wanted.role {
            settings = settings.with_answering_dtls_role(role);
        }
        let shared = Arc::new(Shared::default());
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(engine)
                .with_interceptor_registry(registry)
                .with_setting_engine(settings.build())
                .with_handler(Arc::new(Handler { shared: Arc::clone(&shared), wanted }))
                .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
                .build()
                .await?,
        );
        let ssrc = 0x5eed_0000 | u32::from(wanted.id);
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            "stream".to_owned(),
            "audio".to_owned(),
            "audio".to_owned(),
            RtpCodecKind::Audio,
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
                codec,
                ..Default::default()
            }],
        )));
        connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
        let peer = Self { connection, track, shared, wanted };
        peer.talk(ssrc, payload_type);
        Ok(peer)
    }

    /// Sends a packet every 20 ms: reference audio, or what came.
    fn talk(&self, ssrc: u32, payload_type: u8) {
        let (track, shared, wanted) = (Arc::clone(&self.track), Arc::downgrade(&self.shared), self.wanted);
        let (echo, mut came) = tokio::sync::mpsc::channel::<Bytes>(50);
        if wanted.echo {
            *self.shared.echo.lock().expect("nobody panics with it") = Some(echo);
        }
        tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            let step = wanted.codec.clock_rate() / LISTENING_RATE * FRAME as u32;
            let (mut reference, mut number, mut timestamp) = (Reference::default(), 0_u16, 0_u32);
            loop {
                let payload = if wanted.echo {
                    let Some(payload) = came.recv().await else { return };
                    payload
                } else {
                    every.tick().await;
                    let mut coded = Vec::new();
                    let marker = |sequence| Marker { id: wanted.id, sequence, hears: 0 };
                    reference.fill(wanted.codec, FRAME, marker, &mut coded);
                    coded.into()
                };
                let Some(shared) = shared.upgrade() else { return };
                let header =
                    Header { version: 2, payload_type, sequence_number: number, timestamp, ssrc, ..Header::default() };
                // Before there are keys nothing is sent.
                if track.write_rtp(Packet { header, payload }).await.is_ok() {
                    shared.see(|seen| seen.sent += 1);
                }
                number = number.wrapping_add(1);
                timestamp = timestamp.wrapping_add(step);
            }
        });
    }

    /// Our offer, complete with its candidates; one that begins ICE anew where that is wanted.
    ///
    /// # Errors
    /// What the crate says.
    pub async fn offer(&self, restart: bool) -> Fallible<String> {
        if restart {
            self.connection.restart_ice().await?;
        }
        let offer = self.connection.create_offer(None).await?;
        self.describe(offer).await
    }

    /// Our answer to an offer.
    ///
    /// # Errors
    /// What the crate says.
    pub async fn answer(&self, offer: &str) -> Fallible<String> {
        self.connection.set_remote_description(RTCSessionDescription::offer(offer.to_owned())?).await?;
        let answer = self.connection.create_answer(None).await?;
        let sdp = self.describe(answer).await?;
        self.shared.see(|seen| seen.described = Some(Instant::now()));
        Ok(sdp)
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    /// What the crate says.
    pub async fn take(&self, answer: &str) -> Fallible<()> {
        self.shared.see(|seen| seen.described = Some(Instant::now()));
        Ok(self.connection.set_remote_description(RTCSessionDescription::answer(answer.to_owned())?).await?)
    }

    async fn describe(&self, description: RTCSessionDescription) -> Fallible<String> {
        self.connection.set_local_description(description).await?;
        // A second description of the same session has its candidates at once.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.shared.gathered.notified()).await;
        let ours = self.connection.local_description().await.ok_or("no local description")?;
        Ok(ours.sdp)
    }

    /// Waits until it is connected.
    ///
    /// # Errors
    /// It is not within ten seconds.
    pub async fn connected(&self) -> Fallible<()> {
        Ok(tokio::time::timeout(Duration::from_secs(10), self.shared.connected.notified()).await?)
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().expect("nobody panics with it").clone()
    }

    /// # Errors
    /// What the crate says.
    pub async fn close(&self) -> Fallible<()> {
        Ok(self.connection.close().await?)
    }
}
