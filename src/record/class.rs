//! The closed set of failure classes. They become an InfluxDB tag, so a name never changes once released.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// What one attempt showed: a stable, dotted, lower-case name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Class { $($(#[doc = $doc])+ $variant,)+ }

        impl Class {
            /// Every class, in the order of the dictionary.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable dotted name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether a registration failed, rather than a call.
            pub fn is_of_registration(self) -> bool {
                self.name().starts_with("reg.")
            }

            /// One line that says what the class means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_start(),)+ }
            }
        }
    };
}

classes! {
    /// Nothing was wrong.
    Ok = "ok";

    /// The number does not exist, is incomplete or has an invalid format.
    CallNumberInvalid = "call.number_invalid";
    /// The number is suspended, has changed or is out of service.
    CallNumberOutOfService = "call.number_out_of_service";
    /// The called party is busy.
    CallCalleeBusy = "call.callee_busy";
    /// The called party declined the call.
    CallCalleeDeclined = "call.callee_declined";
    /// The called party was alerted and did not answer.
    CallNoAnswer = "call.no_answer";
    /// The called party could not be reached (switched off, not registered, no page response).
    CallCalleeUnreachable = "call.callee_unreachable";
    /// A limit or congestion on the way refused the call.
    CallCongestion = "call.congestion";
    /// The network or far equipment behind the first hop failed.
    CallNetworkFailed = "call.network_failed";
    /// The credentials were refused when the call was placed.
    CallAuthFailed = "call.auth_failed";
    /// The server forbids the call.
    CallForbidden = "call.forbidden";
    /// The offered media, content or extensions were not acceptable.
    CallNotAcceptable = "call.not_acceptable";
    /// The call was rejected as unwanted or by analytics.
    CallScreened = "call.screened";
    /// The call was redirected and the redirection was not followed.
    CallRedirected = "call.redirected";
    /// The call was cancelled by its caller before it was answered.
    CallCancelled = "call.cancelled";
    /// The server answered with a failure of its own.
    CallServerError = "call.server_error";
    /// No final response came in time.
    CallTimeout = "call.timeout";
    /// The call was answered and ended by the far end in less than two seconds.
    CallDroppedImmediately = "call.dropped_immediately";
    /// The call was ended by the far end or by a loss before its planned end.
    CallDroppedMidway = "call.dropped_midway";
    /// The session timer ran out: nobody refreshed the call in time, and it was ended.
    CallSessionExpired = "call.session_expired";
    /// The caller heard ringing, but no INVITE reached the called party.
    CallFalseRinging = "call.false_ringing";
    /// An expected inbound call did not arrive.
    CallInboundNotDelivered = "call.inbound_not_delivered";
    /// A call came in that nothing in the scenario waited for; it was refused.
    CallInboundUnexpected = "call.inbound_unexpected";
    /// The answer could not be used: no SDP, no audio line, or a codec that was not offered.
    CallBadAnswer = "call.bad_answer";
    /// After its page was loaded again in a call, an agent could not call again in time.
    CallHungAfterReload = "call.hung_after_reload";

    /// After a change of its network, a sleep, a frozen page or a time offline, an agent did not work again in time.
    AgentNotRecovered = "agent.not_recovered";

    /// The application beside the call could not be reached, or its connection ended before it answered.
    SideUnreachable = "side.unreachable";
    /// The application beside the call answered with a status that was not expected.
    SideRefused = "side.refused";
    /// The application beside the call did not answer in time.
    SideTimeout = "side.timeout";
    /// The application beside the call answered, and not what was expected.
    SideUnexpected = "side.unexpected";

    /// The registrar refused the user name or password.
    RegCredentials = "reg.credentials";
    /// The registrar does not know the account.
    RegUnknownAccount = "reg.unknown_account";
    /// The registrar forbids the registration.
    RegForbidden = "reg.forbidden";
    /// The registrar answered with a failure of its own.
    RegServerError = "reg.server_error";
    /// The registrar did not answer in time.
    RegTimeout = "reg.timeout";
    /// The registrar refused the registration in another way.
    RegRefused = "reg.refused";
    /// A binding that stood was lost: its refresh failed.
    RegBindingLost = "reg.binding_lost";

    /// The name of the server could not be resolved.
    TransportDns = "transport.dns";
    /// Nobody accepts packets or connections at the address.
    TransportRefused = "transport.refused";
    /// The address cannot be reached.
    TransportUnreachable = "transport.unreachable";
    /// The TCP connection could not be made or broke.
    TransportTcp = "transport.tcp";
    /// The TLS handshake failed.
    TransportTls = "transport.tls";
    /// The server did not upgrade the connection to SIP over WebSocket.
    TransportWsUpgrade = "transport.ws_upgrade";
    /// The server closed the WebSocket, or the connection below it.
    TransportWsClosed = "transport.ws_closed";
    /// What came over the WebSocket breaks its rules, or those of SIP over it.
    TransportWsProtocol = "transport.ws_protocol";
    /// The server does not answer pings of WebSocket any more.
    TransportWsSilent = "transport.ws_silent";
    /// The server did not answer OPTIONS with success.
    TransportOptions = "transport.options";

    /// No RTP arrived although the call was answered.
    MediaNoRtp = "media.no_rtp";
    /// A STUN or TURN server gave no address: no relay for media that may go by nothing else, or, in a check, no answer.
    MediaNoRelay = "media.no_relay";
    /// ICE found no path for media: no pair of addresses worked both ways.
    MediaIceFailed = "media.ice_failed";
    /// DTLS came to no keys for media.
    MediaDtlsFailed = "media.dtls_failed";
    /// Signalling works, and nothing of ICE came through: something on the way drops UDP.
    MediaFirewallBlocked = "media.firewall_blocked";
    /// Encrypted audio arrived that the negotiated key does not prove.
    MediaSrtpFailed = "media.srtp_failed";
    /// Audio was heard in one direction only.
    MediaOneWay = "media.one_way";
    /// RTP arrived, but it carried silence.
    MediaSilenceWithRtp = "media.silence_with_rtp";
    /// RTP arrived with sound that is not the expected audio.
    MediaNoise = "media.noise";
    /// The expected audio arrived with gaps or heavy loss.
    MediaChoppy = "media.choppy";
    /// The expected audio arrived at a very low level.
    MediaLowLevel = "media.low_level";
    /// RTP stopped in the middle of the call.
    MediaRtpTimeout = "media.rtp_timeout";
    /// Packet loss, jitter or delay reached the grade poor or worse.
    MediaPoorNetwork = "media.poor_network";

    /// Our account pool had no free account: the attempt says nothing about the target.
    ProbeNoAccount = "probe.no_account";
    /// Our machine had no RTP port left: the attempt says nothing about the target.
    ProbeNoMediaPort = "probe.no_media_port";
    /// No name server answered our site: where the target is was not known, which says nothing about it.
    ProbeNoDns = "probe.no_dns";
    /// The far side had asked for no calls (503 with Retry-After), so this one was not placed.
    ProbeBackedOff = "probe.backed_off";
    /// Our own machine stood still during the attempt, which alone may have caused the fault.
    ProbeStalled = "probe.stalled";
    /// The run was interrupted before the attempt came to a result.
    ProbeInterrupted = "probe.interrupted";

    /// What was seen fits no class; the raw text is in the record.
    Unknown = "unknown";
}

/// A text that is no class name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a failure class")]
pub struct UnknownClass(String);

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL.iter().copied().find(|class| class.name() == text).ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Class {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Class".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Self::ALL.iter().map(|class| class.name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names, "description": "A failure class; `ringfleet explain CLASS` says what it means." })
    }
}
