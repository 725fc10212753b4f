//! The lenient reader. Lines end in CRLF or LF, the last one may have no end; lines that are unknown, broken or not
//! UTF-8 are passed over, except media lines, since answers count them.

use smallvec::SmallVec;

use super::Direction;
use super::description::{Connection, Encoding, Format, Media, Sdp};
use super::peering::Peering;
use super::video::VideoFeedback;

/// Media lines in one description; more are refused.
const MAX_MEDIA: usize = 16;

/// Formats of one media line that are looked at; more are passed over.
const MAX_FORMATS: usize = 32;

/// Sources of one media line that are looked at; more are passed over.
const MAX_SOURCES: usize = 4;

/// Keys of one media line that are looked at; more are passed over.
const MAX_CRYPTO: usize = 16;

/// Why a body is no session description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The body is empty.
    #[error("the message has no session description")]
    Empty,
    /// No line looks like `v=0`.
    #[error("the body is not a session description")]
    NotSdp,
    /// A media line cannot be read, so an answer could not mirror it.
    #[error("line {line} of the session description is not a media line: `{text}`")]
    BadMediaLine {
        /// Line number from 1.
        line: usize,
        /// The line, cut to 60 characters.
        text: String,
    },
    /// More media lines than anybody needs.
    #[error("the session description has more than {MAX_MEDIA} media lines")]
    TooManyMedia,
}

impl<'a> Sdp<'a> {
    /// Reads a message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, SdpError> {
        if body.trim_ascii().is_empty() {
            return Err(SdpError::Empty);
        }
        let mut reader = Reader::default();
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            reader.take_line(index + 1, line.trim_matches([' ', '\t', '\r']))?;
        }
        reader.finish()
    }
}

impl<'a> Media<'a> {
    /// `type port[/count] proto fmt …`
    fn parse(value: &'a str) -> Option<Self> {
        let (kind, rest) = value.split_once(' ')?;
        let (port, rest) = rest.trim_start().split_once(' ')?;
        let rest = rest.trim_start();
        let (proto, format_list) = rest.split_once(' ').unwrap_or((rest, ""));
        if kind.is_empty() || proto.is_empty() {
            return None;
        }
        let port = port.split('/').next()?.parse().ok()?;
        let numbers = format_list.split_ascii_whitespace().filter_map(|format| format.parse().ok());
        let formats = numbers.filter(|number| *number < 128).take(MAX_FORMATS).map(Format::new).collect();
        Some(Self {
            kind,
            port,
            proto,
            format_list: format_list.trim(),
            formats,
            connection: None,
            written_direction: Direction::SendRecv,
            ptime: None,
            rtcp_port: None,
            rtcp_address: None,
            rtcp_mux: false,
            sources: SmallVec::new(),
            feedback: VideoFeedback::default(),
            bundle_only: false,
            crypto: SmallVec::new(),
            mid: None,
            peering: None,
        })
    }

    fn take_attribute(&mut self, name: &'a str, value: &'a str) {
        match name.to_ascii_lowercase().as_str() {
            "rtpmap" => self.set(value, |format, text| format.encoding = Encoding::parse(text).or(format.encoding)),
            "fmtp" => self.set(value, |format, text| format.fmtp = Some(text)),
            "rtcp-mux" => self.rtcp_mux = true,
            "ssrc" => {
                let source = value.split([' ', '\t']).next().and_then(|number| number.parse().ok());
                let new = source.filter(|source| !self.sources.contains(source) && self.sources.len() < MAX_SOURCES);
                self.sources.extend(new);
            }
            "rtcp-fb" => self.feedback.take(value),
            "bundle-only" => self.bundle_only = true,
            "crypto" if self.crypto.len() < MAX_CRYPTO => self.crypto.push(value),
            "mid" => self.mid = Some(value).filter(|mid| !mid.is_empty()),
            "rtcp" => {
                let mut words = value.split_ascii_whitespace();
                self.rtcp_port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port != 0);
                self.rtcp_address = words.nth(2).and_then(|address| address.parse().ok());
            }
            _ => {}
        }
    }

    /// Finds the format that `PT rest` is about.
    fn set(&mut self, value: &'a str, change: impl FnOnce(&mut Format<'a>, &'a str)) {
        let Some((number, text)) = value.trim().split_once([' ', '\t']) else { return };
        let Ok(number) = number.parse::<u8>() else { return };
        if let Some(format) = self.formats.iter_mut().find(|format| format.payload_type == number) {
            change(format, text.trim());
        }
    }
}

impl Format<'_> {
    fn new(payload_type: u8) -> Self {
        Self { payload_type, encoding: Encoding::of_static(payload_type), fmtp: None }
    }
}

impl<'a> Encoding<'a> {
    /// `name/rate[/channels]`
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let clock_rate = parts.next()?.parse().ok()?;
        let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
        Some(Self { name, clock_rate, channels })
    }
}

impl<'a> Connection<'a> {
    /// `IN IP4 192.0.2.1[/ttl]`
    fn parse(value: &'a str) -> Option<Self> {
        let text = value.split_ascii_whitespace().nth(2)?.split('/').next().filter(|text| !text.is_empty())?;
        Some(text.parse().map_or(Self::Name(text), Self::Address))
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader<'a> {
    sdp: Sdp<'a>,
    versioned: bool,
    connection: Option<Connection<'a>>,
    direction: Option<Direction>,
    ptime: Option<u16>,
    peering: Option<Box<Peering<'a>>>,
    /// Directions and packet times of the media lines, `None` where the session's holds.
    own: SmallVec<[(Option<Direction>, Option<u16>); 1]>,
}

impl<'a> Reader<'a> {
    fn take_line(&mut self, number: usize, line: &'a str) -> Result<(), SdpError> {
        let Some((kind, value)) = line.split_once('=') else { return Ok(()) };
        let value = value.trim_start();
        match kind {
            "v" => self.versioned = true,
            "o" => self.take_origin(value),
            "c" => {
                let connection = Connection::parse(value);
                let place = self.sdp.media.last_mut().map_or(&mut self.connection, |media| &mut media.connection);
                // A media line may have several, for layered multicast; the first is the base layer.
                *place = (*place).or(connection);
            }
            "m" => {
                let media = Media::parse(value)
                    .ok_or_else(|| SdpError::BadMediaLine { line: number, text: line.chars().take(60).collect() })?;
                if self.sdp.media.len() == MAX_MEDIA {
                    return Err(SdpError::TooManyMedia);
                }
                self.sdp.media.push(media);
                self.own.push((None, None));
            }
            "a" => self.take_attribute(value),
            _ => {}
        }
        Ok(())
    }

    /// `user id version IN IP4 address`
    fn take_origin(&mut self, value: &'a str) {
        // Counted from the end, since user names with spaces occur.
        let mut words = value.rsplit(' ').filter(|word| !word.is_empty()).skip(3);
        if let (Some(version), Some(id)) = (words.next(), words.next()) {
            self.sdp.version = version;
            self.sdp.session_id = id;
        }
    }

    fn take_attribute(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        let (direction, ptime) = match self.own.last_mut() {
            Some((direction, ptime)) => (direction, ptime),
            None => (&mut self.direction, &mut self.ptime),
        };
        if let Some(found) = Direction::parse(name) {
            *direction = Some(found);
        } else if name.eq_ignore_ascii_case("ptime") {
            *ptime = value.parse().ok().filter(|ptime| *ptime > 0).or(*ptime);
        } else if Peering::is_of(name) {
            let place = self.sdp.media.last_mut().map_or(&mut self.peering, |media| &mut media.peering);
            place.get_or_insert_default().take(name, attribute, value);
        } else if let Some(media) = self.sdp.media.last_mut() {
            media.take_attribute(name, value);
        } else if name.eq_ignore_ascii_case("group")
            && let Some(("BUNDLE", mids)) = value.split_once(' ')
        {
            self.sdp.bundle = Some(mids.trim());
        }
    }

    fn finish(mut self) -> Result<Sdp<'a>, SdpError> {
        // Some bodies lack the version line, but a body with neither line is something else.
        if !self.versioned && self.sdp.media.is_empty() {
            return Err(SdpError::NotSdp);
        }
        for (media, (direction, ptime)) in self.sdp.media.iter_mut().zip(&self.own) {
            media.connection = media.connection.or(self.connection);
            media.written_direction = direction.or(self.direction).unwrap_or_default();
            media.ptime = ptime.or(self.ptime);
            if let Some(session) = &self.peering {
                media.peering.get_or_insert_default().fall_back_to(session);
            }
        }
        Ok(self.sdp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(body: &str) -> Media<'_> {
        Sdp::parse(body.as_bytes()).expect("valid").media.remove(0)
    }

    fn encoding(name: &str, clock_rate: u32) -> Option<Encoding<'_>> {
        Some(Encoding { name, clock_rate, channels: 1 })
    }

    const OFFER: &str = "v=0\r\no=jane doe 2890844526 99999999999999999999 IN IP4 192.0.2.1\r\ns=-\r\n\
        c=IN IP4 192.0.2.1/127\r\nt=0 0\r\na=recvonly\r\na=ptime:30\r\n\
        m=audio 49170/2 RTP/AVP 8 0 18 97 101\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:97 iLBC/8000\r\n\
        a=fmtp:97 mode=20;x=y\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n\
        a=rtcp:53020 IN IP4 192.0.2.10\r\na=rtcp-mux\r\n\
        m=video 0 RTP/AVP 31\r\n";

    #[test]
    fn a_full_description_is_read() {
        let sdp = Sdp::parse(OFFER.as_bytes()).expect("valid");
        assert_eq!((sdp.session_id, sdp.version), ("2890844526", "99999999999999999999"));
        let [audio, video] = sdp.media.as_slice() else { panic!("two media lines") };
        assert_eq!((audio.kind, audio.port, audio.proto), ("audio", 49170, "RTP/AVP"));
        assert_eq!(audio.connection, Some(Connection::Address([192, 0, 2, 9].into())));
        let numbers: Vec<u8> = audio.formats.iter().map(|format| format.payload_type).collect();
        assert_eq!(numbers, [8, 0, 18, 97, 101]);
        assert_eq!(audio.formats[0].encoding, encoding("PCMA", 8000));
        assert_eq!(audio.formats[2].encoding, encoding("G729", 8000));
        assert_eq!(audio.formats[3].encoding, encoding("iLBC", 8000));
        assert_eq!(audio.formats[3].fmtp, Some("mode=20;x=y"));
        assert_eq!(audio.telephone_event(8000).map(|format| format.payload_type), Some(101));
        assert_eq!((audio.direction(), audio.ptime), (Direction::SendRecv, Some(20)));
        assert_eq!((audio.rtcp_port, audio.rtcp_address), (Some(53020), Some([192, 0, 2, 10].into())));
        assert!(audio.rtcp_mux);
        assert!(video.is_rejected());
        assert_eq!(video.connection, Some(Connection::Address([192, 0, 2, 1].into())));
        assert_eq!((video.direction(), video.ptime), (Direction::RecvOnly, Some(30)));
    }

    #[test]
    fn untidy_lines_are_read() {
        let body = "v=0\n\nnonsense\nz=?\nc=IN IP6 2001:db8::1 \n m= ignored\nm=audio  4000  RTP/AVP  0 101  \n\
                    A=x\na=rtpmap:101  telephone-event/8000/1 \na=rtpmap:102 foo/8000\na=rtpmap:x\na=INACTIVE\na=rtcp:5001";
        // The line ` m= ignored` is a media line once trimmed, and it cannot be mirrored.
        assert!(matches!(Sdp::parse(body.as_bytes()), Err(SdpError::BadMediaLine { line: 6, .. })));
        let body = body.replace(" m= ignored\n", "");
        let audio = first(&body);
        assert_eq!((audio.port, audio.proto, audio.format_list), (4000, "RTP/AVP", "0 101"));
        assert_eq!(audio.connection, Some(Connection::Address("2001:db8::1".parse().expect("valid"))));
        assert_eq!(audio.formats[1].encoding, encoding("telephone-event", 8000));
        assert_eq!((audio.direction(), audio.rtcp_port), (Direction::Inactive, Some(5001)));
    }

    #[test]
    fn address_zero_is_hold_whatever_the_attribute_says() {
        let held = |attribute: &str| {
            let body = format!("v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\na={attribute}\n");
            first(&body).direction()
        };
        assert_eq!(held("sendrecv"), Direction::SendOnly);
        assert_eq!(held("recvonly"), Direction::Inactive);
    }

    #[test]
    fn a_host_name_is_kept_as_such() {
        let audio = first("v=0\nc=IN IP4 media.example\nm=audio 4000 RTP/AVP 0\n");
        assert_eq!(audio.connection, Some(Connection::Name("media.example")));
    }

    #[test]
    fn a_latin_1_session_name_hurts_nobody() {
        let sdp = Sdp::parse(b"v=0\r\ns=caf\xe9\r\nm=audio 4000 RTP/AVP 0\r\n").expect("valid");
        assert_eq!(sdp.media.len(), 1);
    }

    #[test]
    fn media_that_is_not_rtp_keeps_its_formats_as_text() {
        let media = first("v=0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n");
        assert_eq!((media.format_list, media.formats.len()), ("webrtc-datachannel", 0));
        assert!(!media.is_audio() && !media.is_plain_rtp());
    }

    #[test]
    fn what_is_no_description_is_named() {
        assert_eq!(Sdp::parse(b" \r\n"), Err(SdpError::Empty));
        assert_eq!(Sdp::parse(b"<html>a=b</html>"), Err(SdpError::NotSdp));
        let many = "m=audio 1 RTP/AVP 0\n".repeat(MAX_MEDIA + 1);
        assert_eq!(Sdp::parse(many.as_bytes()), Err(SdpError::TooManyMedia));
        let error = Sdp::parse(b"v=0\nm=audio 70000 RTP/AVP 0").expect_err("bad port");
        assert_eq!(
            error.to_string(),
            "line 2 of the session description is not a media line: `m=audio 70000 RTP/AVP 0`"
        );
    }

    #[test]
    fn a_thousand_formats_are_bounded() {
        let body = format!("v=0\nm=audio 4000 RTP/AVP {}\n", "0 ".repeat(1000));
        assert_eq!(first(&body).formats.len(), MAX_FORMATS);
    }

    /// Lines like those of a description, with anything in between.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just("v=0"),
            Just("m=audio"),
            Just("m="),
            Just("a=rtpmap:"),
            Just("a=fmtp:101"),
            Just("a=rtcp:"),
            Just("c=IN"),
            Just("IP4"),
            Just("0.0.0.0"),
            Just("::1"),
            Just("o=-"),
            Just("4000"),
            Just("0"),
            Just("101"),
            Just("RTP/AVP"),
            Just("/"),
            Just("="),
            Just(":"),
            Just("\r"),
            Just("telephone-event/8000"),
            Just("65536"),
            Just("a=sendonly"),
        ];
        prop_oneof![
            prop::collection::vec(word, 0..8).prop_map(|words| words.join(" ").into_bytes()),
            prop::collection::vec(any::<u8>(), 0..30),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Sdp::parse(&body);
        }

        #[test]
        fn any_lines_are_read_or_refused(lines in prop::collection::vec(line(), 0..40)) {
            let body = lines.join(b"\n".as_slice());
            if let Ok(sdp) = Sdp::parse(&body) {
                prop_assert!(sdp.media.len() <= MAX_MEDIA);
                prop_assert!(sdp.media.iter().all(|media| media.formats.len() <= MAX_FORMATS));
            }
        }
    }
}
