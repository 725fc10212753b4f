//! The dictionary of classes: causes and next actions, in words of first-line support. Data, no logic.

use super::class::Class;

/// One entry.
pub(super) struct Entry {
    pub(super) class: Class,
    pub(super) causes: &'static [&'static str],
    pub(super) next: &'static [&'static str],
    pub(super) told_from: &'static str,
}

macro_rules! entries {
    ($($class:ident { causes: $causes:expr, next: $next:expr, told_from: $told_from:expr })+) => {
        &[$(Entry { class: Class::$class, causes: &$causes, next: &$next, told_from: $told_from },)+]
    };
}

pub(super) const ENTRIES: &[Entry] = entries! {
    Ok {
        causes: [],
        next: ["Nothing: the attempt did what its scenario says and no fault was heard."],
        told_from: "an answer, and nothing wrong by the scenario"
    }
    CallNumberInvalid {
        causes: [
            "The number was mistyped, or its country or area code is missing.",
            "The number does not exist any more.",
            "A dial plan on the way strips or adds digits, or does not know the prefix.",
        ],
        next: [
            "Check the dialled number in the record, digit by digit, with country and area code.",
            "Dial the same number from a mobile phone: if that works, the dial plan is wrong, not the number.",
            "If a whole prefix fails, give the platform's support the call ID and the number as it left here.",
        ],
        told_from: "404, 484, 604; Q.850 1, 28"
    }
    CallNumberOutOfService {
        causes: ["The subscription is suspended or ended.", "The number has changed."],
        next: [
            "Reach the person in another way and ask for the new number.",
            "Take the number out of the call list.",
        ],
        told_from: "410; Q.850 22, 23"
    }
    CallCalleeBusy {
        causes: [
            "The called party is in another call.",
            "The called line has a limit of calls that is reached and says busy instead of congestion.",
        ],
        next: [
            "Try again later.",
            "If a service number is busy for every caller, ask its owner how many calls it can take at once.",
        ],
        told_from: "486, 600; Q.850 17"
    }
    CallCalleeDeclined {
        causes: ["The called person pressed reject.", "A phone in do-not-disturb declines by itself."],
        next: ["Reach the person in another way; check do-not-disturb if the phone is ours."],
        told_from: "603; Q.850 21"
    }
    CallNoAnswer {
        causes: ["It rang and nobody picked up.", "The phone's ring time ended before the answer."],
        next: [
            "Try again at another time.",
            "If the called phone is ours: did it really ring? Compare with call.false_ringing.",
        ],
        told_from: "480 or 408 after a 18x; Q.850 19"
    }
    CallCalleeUnreachable {
        causes: [
            "The called phone is switched off, in flight mode or without coverage.",
            "The called extension is not registered.",
        ],
        next: [
            "If the number is one of our extensions: check that its phone is logged in.",
            "Else try again later, or another number of that person.",
        ],
        told_from: "480 or 408 before any 18x; Q.850 18, 20"
    }
    CallCongestion {
        causes: [
            "All calls that the line or the licence allows are in use.",
            "Calls are started faster than the carrier allows (calls per second).",
            "The carrier's network is congested.",
        ],
        next: [
            "Count the calls that were up on this trunk at that moment and compare with the contract.",
            "Find and prove the limit: a scenario with load: find_limit.",
            "If fewer calls were up than contracted, give the carrier the call ID, the code and the reason text.",
        ],
        told_from: "Q.850 34, 42, 47; texts that name a limit"
    }
    CallNetworkFailed {
        causes: [
            "The line, the gateway or the carrier behind the first server is down.",
            "A server on the way is overloaded or restarting (503).",
        ],
        next: [
            "Dial over another line: if that works, the fault is on this line; if not, in the platform.",
            "Ask the carrier about the line, with time, numbers, call ID and Q.850 cause of this record.",
        ],
        told_from: "502, 503, 504; Q.850 27, 38, 41"
    }
    CallAuthFailed {
        causes: [
            "User name or password of the account is wrong.",
            "No password is configured, or the server does not take our address as a peer's.",
            "The server asks in a way that is not spoken here (an unknown algorithm, no Digest): the reason says which.",
        ],
        next: [
            "Check user, auth_user and password of the account in the target file.",
            "For a trunk without account: check that the server knows the address we send from.",
        ],
        told_from: "401, 407 after an answer to the challenge; RFC 3261 §22"
    }
    CallForbidden {
        causes: [
            "The account or its group may not call out, or not to this kind of number.",
            "The From number is not one that the line allows.",
            "Some servers say 403 when a limit is reached, without saying so in the text.",
        ],
        next: [
            "Dial the same number with another account: if that works, it is a permission of this account.",
            "Check the From number and the outbound permission of the hotline.",
            "If the first calls pass and later ones do not, look for a limit: load: find_limit.",
        ],
        told_from: "403"
    }
    CallNotAcceptable {
        causes: [
            "No codec in common.",
            "The server wants SRTP where we offer RTP, or the reverse.",
            "One side requires an extension (`100rel`, `session_timer`) that the other does not speak: 420, 421, 422.",
        ],
        next: [
            "Compare the codecs in our INVITE (evidence, ladder) with what the platform accepts.",
            "With 420 look at Unsupported, with 421 at Require, with 422 at Min-SE of the refusal, and set the target's `sip:`.",
        ],
        told_from: "406, 415, 420, 421, 422, 488, 606; RFC 3261 §21.4"
    }
    CallScreened {
        causes: ["The callee's network judged the caller number as spam.", "The callee blocks this caller."],
        next: ["Have the carrier check the reputation of the From number; try another From number."],
        told_from: "RFC 8197 (607), RFC 8688 (608)"
    }
    CallRedirected {
        causes: ["The called number is forwarded by a 3xx, and we do not follow it."],
        next: ["Dial the Contact of the 3xx (evidence, ladder) if the forwarded party is to be tested."],
        told_from: "RFC 3261 §21.3"
    }
    CallCancelled {
        causes: [
            "The scenario gave up: answer_within or cancel_after was reached while it rang.",
            "On an answering leg: the caller hung up before we answered.",
        ],
        next: [
            "If an answer was expected, see in the record whether it rang, and for how long.",
            "Raise answer_within only if people really wait that long.",
        ],
        told_from: "487 after CANCEL; RFC 3261 §9"
    }
    CallServerError {
        causes: ["A fault or an overload inside the server.", "A request that the server cannot process."],
        next: [
            "Repeat the call: if it passes, count it as a brief fault.",
            "Give the platform's support the call ID, the time and the ladder.",
        ],
        told_from: "5xx without a class of its own"
    }
    CallTimeout {
        causes: [
            "The server or the network on the way to it is down, or a firewall drops our packets.",
            "A server on the way drops the request without a word (broken header, unknown peer).",
        ],
        next: [
            "Check that the server answers at all: ringfleet check --live.",
            "See in the ladder whether 100 came: with it a server behind the first is silent, without it nobody heard us.",
        ],
        told_from: "no final response by Timer B; RFC 3261 §17.1.1.2"
    }
    CallDroppedImmediately {
        causes: [
            "A carrier's fault on the hotline: the call is answered and dropped at once.",
            "The answer did not fit (no codec, no media address) and the far end hung up.",
        ],
        next: [
            "Dial through another hotline: if that works, the fault is this hotline's carrier.",
            "Give the carrier the call ID, the Q.850 cause and the ladder or pcap.",
        ],
        told_from: "BYE less than 2 s after the 200"
    }
    CallDroppedMidway {
        causes: [
            "The network of the agent or the platform was interrupted.",
            "The server missed our RTP or a session refresh and hung up.",
            "The other person hung up before the scenario's talk was over.",
        ],
        next: [
            "Compare the durations of such calls: always the same means a timer, else the network.",
            "See whether RTP stopped before the BYE (gap_ms_max, rx_packets).",
        ],
        told_from: "BYE from the far end before the scenario's own"
    }
    CallSessionExpired {
        causes: [
            "The side that has to refresh the call (RFC 4028) never did, or its refreshes are lost on the way.",
            "A border element passes on Session-Expires but not the re-INVITE or UPDATE that refreshes.",
            "Our refresh was not answered, or was refused with 408 or 481: the far end has lost the call.",
        ],
        next: [
            "Look in the ladder for who is the refresher (Session-Expires of the 200) and whether it sent anything.",
            "If refreshes leave and get no answer, compare the Route and Contact of the refresh with those of the ACK.",
            "Ask the platform for its session timer; an interval of 1800 s is usual.",
        ],
        told_from: "RFC 4028"
    }
    CallFalseRinging {
        causes: [
            "The platform plays ringing although the call was never delivered (wrong call mode).",
            "The number is forwarded, or routed to somebody else.",
        ],
        next: [
            "Check the call mode of the hotline (call out) and forwarding of the called number.",
            "Give support the call IDs of both legs: one rang, the other got no INVITE.",
        ],
        told_from: "18x to the caller, and no INVITE at who is called"
    }
    CallInboundNotDelivered {
        causes: [
            "The called account was not registered, or registered elsewhere, at that moment.",
            "The hotline is routed to another queue or group.",
            "A firewall or NAT forgot the mapping, so the INVITE does not come through.",
        ],
        next: [
            "Check in the platform that the called account is registered from this site's address.",
            "Check where the hotline is routed; call an extension directly to leave the routing out.",
        ],
        told_from: "no INVITE at who is called"
    }
    CallInboundUnexpected {
        causes: [
            "Somebody else calls a number that leads here: a person, a scanner, another test.",
            "A hotline or forwarding leads more calls here than the scenario waits for.",
            "The call is ours, but it came after its attempt had ended, or without the header that pairs both legs.",
        ],
        next: [
            "See from and to in the record: who called which number.",
            "If it is a call of this run, give its answering actor more time (`within`) or name `pairing_header` in the \
             target file.",
        ],
        told_from: "an INVITE that belongs to no attempt"
    }
    CallBadAnswer {
        causes: ["The far end answers without SDP, without audio, or with a codec that was not offered."],
        next: ["Give the platform's support the ladder: the SDP of the 200 shows it."],
        told_from: "RFC 3264 §6"
    }
    SideUnreachable {
        causes: [
            "The application is down, or its address in the target file is wrong.",
            "A firewall, a proxy or its certificate is in the way.",
            "It closed the WebSocket: the session ended, or was opened elsewhere.",
        ],
        next: [
            "See `unmet` in the record: it says what failed, the look-up, the connection, TLS or the upgrade.",
            "Open the same address in a browser on the same machine.",
        ],
        told_from: "look-up, connection, TLS or upgrade to the application"
    }
    SideRefused {
        causes: [
            "Password, token or rights of the agent: 401, 403.",
            "The agent is signed in elsewhere, or its licences are used up: 409, 429.",
            "The application itself failed: 5xx.",
        ],
        next: [
            "See `requests` in the record: which request, which status, after how long.",
            "Sign in by hand with the same account; if that works, compare the two requests.",
        ],
        told_from: "the status of the application's answer; RFC 9110 §15"
    }
    SideTimeout {
        causes: ["The application is overloaded, or waits for something behind it.", "It never tells what was waited for."],
        next: [
            "See `requests` in the record for how long the others took.",
            "Give the application's support the time of the request and the agent.",
        ],
        told_from: "no answer of the application in time"
    }
    SideUnexpected {
        causes: [
            "The agent is in another state than it was to be: not ready by itself, still in the last call.",
            "The application's answers have changed, and the scenario's JSON pointers have not.",
        ],
        next: [
            "See `unmet` in the record: what was expected, and what stood there.",
            "If agents are not ready by themselves, look for sleeping tabs and lost connections.",
        ],
        told_from: "an answer of the application that is not as expected"
    }
    RegCredentials {
        causes: [
            "User name or password is wrong or was changed.",
            "The realm or auth_user differs from the user.",
            "The registrar asks in a way that is not spoken here (an unknown algorithm, no Digest): the reason says which.",
        ],
        next: [
            "Set the password again in the platform and in the target file, and log in once by hand.",
            "If many accounts fail at once, ask for a change in the platform's authentication.",
        ],
        told_from: "401 or 407 after an answer to the challenge; RFC 3261 §22"
    }
    RegUnknownAccount {
        causes: ["The extension was never created or was deleted.", "The domain is wrong."],
        next: ["Check that the extension exists in this environment, and the domain in the target file."],
        told_from: "404, 410, 604"
    }
    RegForbidden {
        causes: [
            "The account may not register from here (address list, agent-only authentication).",
            "Some servers answer a wrong password with 403.",
            "A licence of devices is used up and the text does not say so.",
        ],
        next: [
            "Log in with another account from the same place: if that works, it is this account.",
            "Compare the number of devices logged in with the licence.",
        ],
        told_from: "403"
    }
    RegServerError {
        causes: ["The registrar or its database has a fault.", "A proxy cannot reach its registrar."],
        next: ["Give the platform's support time, account and code; check whether all accounts fail."],
        told_from: "5xx, received 408"
    }
    RegTimeout {
        causes: ["The registrar is down or not reachable from here.", "A firewall or VPN drops SIP."],
        next: [
            "Check the way to the server step by step: ringfleet check --live.",
            "Try from another network: if that works, it is this site.",
        ],
        told_from: "Timer F; RFC 3261 §17.1.2.2"
    }
    RegRefused {
        causes: [
            "A limit is reached: the licence of devices, or contacts of one account (the reason text says so).",
            "The expiry asked for is too short (423) or the request does not please the server.",
        ],
        next: [
            "Read reason and code in the record.",
            "If it speaks of a limit: count the devices logged in, compare with the licence, log one out and retry.",
        ],
        told_from: "other 3xx, 4xx and 6xx; texts that name a limit"
    }
    CallHungAfterReload {
        causes: [
            "The platform still holds the call of the page that is gone, and lets the agent have one call only.",
            "The platform takes the registration of the new page and calls the connection of the old one.",
        ],
        next: [
            "Read recovery_tries and the last response: 486 or 403 for a while means that the old call is still held.",
            "Wait a minute and sign in again.",
            "Give the platform's support the Call-IDs of the record: the first call should have ended with its connection.",
        ],
        told_from: "the calls after a `reload` step"
    }
    AgentNotRecovered {
        causes: [
            "The platform does not take a re-INVITE over another connection, or answers it without new candidates of ICE.",
            "The platform gave the agent up while it was away, and the agent did not find that out in time.",
            "The firewall does not let media to the agent's new address.",
        ],
        next: [
            "Read recovery_from and unmet in the record: they say what befell the agent, and what was still missing.",
            "Look at the ladder from then on: is there a REGISTER, a re-INVITE, and what answers it?",
        ],
        told_from: "media and registration after a disturbance; RFC 8445 §9"
    }
    RegBindingLost {
        causes: [
            "The network was interrupted or the machine slept when the refresh was due.",
            "The account was logged in elsewhere and this binding was removed.",
        ],
        next: [
            "Register again (refresh the page); if it stays, count it as a brief interruption.",
            "If it repeats, check who else uses the account, and the licence of devices.",
        ],
        told_from: "a refresh refused or unanswered, or a binding that the registrar no longer lists; RFC 3261 §10"
    }
    TransportDns {
        causes: ["The server's name is misspelt or its DNS record is gone.", "This machine has no working DNS."],
        next: ["Check the name in the target file; resolve another name on the same machine."],
        told_from: "the answer of the name server; RFC 3263 §4"
    }
    TransportRefused {
        causes: ["The server's process is not running.", "The port or the transport is wrong."],
        next: ["Check port and transport in the target file; ask whether the server is running."],
        told_from: "ICMP port unreachable, TCP RST"
    }
    TransportUnreachable {
        causes: ["No route: the VPN or the network of this site is down.", "A firewall rejects the address."],
        next: ["Check the network and VPN of this site; try another target from here."],
        told_from: "ICMP unreachable; RFC 3261 §8.1.3.1"
    }
    TransportTcp {
        causes: ["The connection timed out or was reset by the server or a firewall."],
        next: ["Check that the TCP port is open from this site; look for idle time-outs of firewalls."],
        told_from: "a connection that is not made in time, or reset"
    }
    TransportTls {
        causes: ["The certificate is expired, self-signed or for another name.", "No common TLS version."],
        next: ["Check the certificate's name and date; set ca: in the target file for a private authority."],
        told_from: "the alert or the certificate; RFC 8446 §6, RFC 5922"
    }
    TransportWsUpgrade {
        causes: [
            "The path is wrong, or a proxy before the SIP server does not pass WebSocket on (the status says which).",
            "The server wants an Origin, a token or a header; or it does not know the subprotocol `sip`.",
        ],
        next: [
            "Read the status in reason; check url, origin and headers of websocket: in the target file.",
            "Open the same URL in the browser that the agents use, and compare the request.",
        ],
        told_from: "RFC 6455 §4, RFC 7118 §4"
    }
    TransportWsClosed {
        causes: [
            "The server was restarted, or closes connections that are idle (1001), or refuses us (1008).",
            "The network or a proxy cut the connection (1006: without a close frame).",
        ],
        next: [
            "Read the close code in reason; look for idle time-outs of proxies and set keep_alive below them.",
            "See whether all agents lost theirs at the same moment: then it is the server or the network.",
        ],
        told_from: "the close code; RFC 6455 §7.4"
    }
    TransportWsProtocol {
        causes: [
            "The server, or a proxy, sends frames that RFC 6455 forbids, or text that is not UTF-8.",
            "A SIP message was split over several WebSocket messages, or several were sent in one.",
        ],
        next: ["Give reason and messages of the evidence to who runs the server: it is a fault of software."],
        told_from: "RFC 6455 §5, RFC 7118 §5"
    }
    TransportWsSilent {
        causes: [
            "The network is gone without a word, as behind a NAT or a VPN that was restarted.",
            "The server hangs: it takes bytes and answers none.",
        ],
        next: ["Check the network of this site; see whether new connections to the server open."],
        told_from: "a ping without a pong; RFC 6455 §5.5.2"
    }
    TransportOptions {
        causes: [
            "The server does not accept OPTIONS from us.",
            "The server is up, but not well.",
            "Something took the connection, and nothing behind it answers SIP.",
        ],
        next: ["Place a real call: OPTIONS says little about calls, in both directions."],
        told_from: "the response to OPTIONS; RFC 3261 §11"
    }
    MediaNoRtp {
        causes: [
            "A firewall or NAT blocks UDP media.",
            "The answer's SDP names an address that does not reach us.",
            "The far end sends nothing.",
            "It sends with a payload type that was not agreed on: media_fault of the record says so.",
            "With media: { sockets: shared }: it sends from another address than its SDP gives.",
        ],
        next: [
            "With shared sockets see rtp_unattributed under generator in summary.json: what was counted there came from elsewhere.",
            "Compare the media addresses in both SDPs (ladder) with the real ones; set public_address behind NAT.",
            "Check that the RTP port range is open to and from the platform.",
        ],
        told_from: "no packet of RTP in an answered call"
    }
    MediaNoRelay {
        causes: [
            "User name or password at the TURN server is wrong, or has run out (401).",
            "The TURN server cannot be reached from here: UDP 3478 (or TCP 3478, TLS 5349) is not open.",
            "The server is full, or the user has as many allocations as it allows (486, 508).",
            "The server still holds an allocation for our address and port, up to ten minutes after a network change or a run that was killed (437).",
        ],
        next: [
            "Read media_fault of the record: it tells what each server said, by its URI.",
            "Where UDP is blocked, name the server as turn:HOST?transport=tcp or turns:HOST too.",
            "After a 437 call again: each run takes other ports. Where `rtp_ports` is a narrow range, widen it.",
            "Look into the log of the TURN server for the time of the call.",
        ],
        told_from: "RFC 8656 §5, §7, §19, RFC 8489 §9.2"
    }
    MediaIceFailed {
        causes: [
            "The other side offers addresses that cannot be reached from here: those of another network, or names of mDNS.",
            "The other side answered without ICE: WebRTC is not switched on for the account or trunk.",
            "UDP passes in one direction only: a firewall or a NAT that no relay helps with.",
        ],
        next: [
            "Read media_fault of the record: it tells checks sent, answered and received.",
            "Compare a=candidate in both SDPs (ladder) with the addresses that the network routes.",
            "Set media_address, advertised address or a relay (TURN) at the far end.",
        ],
        told_from: "RFC 8445 §6, §7, RFC 8839"
    }
    MediaDtlsFailed {
        causes: [
            "The fingerprint in SDP is not that of the certificate: a proxy replaced the SDP, or a relay has another certificate.",
            "Both sides wait to be the server, or both are the client: a=setup of the answer is wrong.",
            "No common version, cipher or kind of certificate: RSA certificates are not taken here.",
        ],
        next: [
            "Read media_fault of the record: it tells what DTLS stumbled over, and both fingerprints where they differ.",
            "Compare a=fingerprint and a=setup in both SDPs (ladder).",
        ],
        told_from: "RFC 5763, RFC 5764, RFC 8122, RFC 8842"
    }
    MediaFirewallBlocked {
        causes: [
            "A firewall drops UDP between this site and the media address, in spite of signalling that passes.",
            "The media port range of the far end is not open or not forwarded.",
        ],
        next: [
            "Open UDP from this site to the addresses in a=candidate (ladder), or give agents a relay over TCP or TLS.",
            "Try the same call from another network: if it works there, this site's firewall is the one.",
        ],
        told_from: "RFC 8445 §7, RFC 7984"
    }
    MediaSrtpFailed {
        causes: [
            "The far end, or a gateway on the way, encrypts with another key than its SDP names.",
            "The far end agreed to SRTP and sends plain RTP.",
            "The key was changed by a re-INVITE on one side only.",
        ],
        next: [
            "Compare a=crypto in both SDPs (ladder) hop by hop: each element that relays media answers with a key of its own.",
            "Try another suite (media: { crypto: … } of the target): some equipment has faults in one of them.",
        ],
        told_from: "RFC 3711, RFC 4568 §5"
    }
    MediaOneWay {
        causes: [
            "NAT or firewall passes media in one direction only.",
            "The microphone of one side is muted or not permitted.",
        ],
        next: [
            "See which direction is missing: audio_rx is what we heard, audio_tx what the far end heard.",
            "None: follow the packets (addresses, ports). Silent: look at that side's device or mixer.",
        ],
        told_from: "our reference audio heard at one end only"
    }
    MediaSilenceWithRtp {
        causes: [
            "The far end sends packets without sound: muted, no microphone, on hold without music.",
            "A media server on the way is connected to nothing.",
        ],
        next: [
            "Call another extension behind the same server: if that is heard, it is the one phone.",
            "Give support the call ID: packets flow, their content is silence.",
        ],
        told_from: "packets whose audio is silent"
    }
    MediaNoise {
        causes: [
            "Another sound than the expected: announcement, music on hold, wrong party.",
            "A codec or encryption mismatch makes noise of speech.",
        ],
        next: [
            "Listen to the recording in the evidence folder.",
            "If it is an announcement, the number answers with something else than the test expects.",
        ],
        told_from: "audio that is not the reference audio"
    }
    MediaChoppy {
        causes: [
            "Packets are lost or come in bursts: Wi-Fi, a full line, an overloaded server.",
            "VPN or firewall inspection delays media.",
        ],
        next: [
            "Compare calls from this site by cable and from another site at the same time.",
            "See loss_pct, jitter_ms and gap_ms_max: loss points to the network, long gaps to a server or Wi-Fi.",
        ],
        told_from: "gaps in what was heard; loss and jitter, RFC 3550 §6.4.1, A.8"
    }
    MediaLowLevel {
        causes: ["Microphone or device volume is low.", "Automatic gain control in the path turned it down."],
        next: [
            "Check the input level of the speaking side, and the browser's setting that adjusts it.",
            "Compare the level of a call between two probes: if it is right, it is the person's device.",
        ],
        told_from: "the level of what was heard, dBov"
    }
    MediaRtpTimeout {
        causes: [
            "The network was cut during the call.",
            "A NAT or media relay dropped the stream.",
            "The far end stopped sending (silence suppression, hold).",
        ],
        next: [
            "See in the record when the last packet came and whether the BYE followed.",
            "If it is always after the same time, look for a timer in the relay or firewall.",
        ],
        told_from: "packets that stop in mid-call"
    }
    MediaPoorNetwork {
        causes: ["Loss, jitter or delay of the network between here and the platform is too high."],
        next: [
            "See grade_by: it names loss, jitter or delay.",
            "Compare sites: if only this one is poor, it is its line; stop heavy downloads and test again.",
        ],
        told_from: "the grade: loss, jitter and delay against the thresholds of the Huawei AICC WebRTC phone"
    }
    ProbeNoAccount {
        causes: ["More attempts at the same time than accounts in the pool."],
        next: ["Add accounts to the target file or lower the concurrency; ringfleet check finds this beforehand."],
        told_from: "our own pools of accounts"
    }
    ProbeNoDns {
        causes: ["This site's name server is down, or cannot be reached from here.", "This machine asks a server that is gone."],
        next: ["Resolve any name on this machine; look at its resolver and at the network of its site."],
        told_from: "no answer from this machine's name server; RFC 3263"
    }
    ProbeNoMediaPort {
        causes: [
            "The range rtp_ports is too small for the concurrency, or the open-file limit is too low.",
            "Calls share a port (media: { sockets: shared }), and the far end has one RTP address for several of them.",
        ],
        next: [
            "Widen rtp_ports, raise ulimit -n, or lower the concurrency.",
            "Where calls share a port, leave `sockets` out: each call has a port of its own then.",
        ],
        told_from: "the system refused us a socket, or several calls on one have the same RTP address and name no SSRC"
    }
    ProbeBackedOff {
        causes: ["The server or trunk is overloaded or full and said for how long it wants no calls."],
        next: [
            "Look at the 503 before it: its reason and how many calls were up say what is full.",
            "A scenario that measures how calls are refused says `honour_retry_after: false` under `load`.",
        ],
        told_from: "RFC 3261 §21.5.4"
    }
    ProbeStalled {
        causes: [
            "Our machine gave the worker no CPU: other work on it, too few cores, a virtual machine that was paused.",
            "The load is more than this machine can place.",
        ],
        next: [
            "See stalled_ms in the record and generator in summary.json: the attempt says nothing about the target.",
            "Stop other work on the machine, lower the load, or spread it over more machines.",
        ],
        told_from: "our own worker's turns: they were too late"
    }
    ProbeInterrupted {
        causes: ["Somebody pressed Ctrl-C, or the run reached its time limit."],
        next: ["Run again if a result is needed; the attempt says nothing about the target."],
        told_from: "exit code 130"
    }
    Unknown {
        causes: ["A code or a sequence that the dictionary has no class for."],
        next: [
            "Read code, reason, q850 and warning in the record, and the ladder.",
            "If it comes again, report it with the ladder so that a class can be added.",
        ],
        told_from: "anything else"
    }
};
