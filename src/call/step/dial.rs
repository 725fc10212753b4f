//! `dial`: an INVITE, what comes back, and giving up.

use std::sync::Arc;
use std::time::Duration;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::call::step::LegVideo;
use crate::record::{LocalFailure, Party, SideFault, TransportFault};
use crate::scenario::compile::is_dialable;
use crate::scenario::plan::{Dial, MediaMode, Step, Trunk};
use crate::scenario::safety::Refusal;
use crate::scenario::text::Values;
use crate::sip::exchange::Cause;
use crate::sip::message::Message;
use crate::sip::sdp::crypto::Policy;
use crate::sip::session::Invite;
use crate::sip::uri::bracketed;

/// The port that an offer names when no socket stands behind it (RFC 863, discard).
const NO_SOCKET: u16 = 9;

/// Numbers whose verdict is remembered; a load that dials more different ones asks again.
const MOST_PERMITTED: usize = 10_000;

impl Leg {
    pub(in crate::call) fn begin_dial(&mut self, tools: &mut Tools<'_>, step: &Dial) -> Flowing {
        if let Some(until) = tools.back_off.until(tools.now, tools.me.actor.into(), step.trunk.as_deref()) {
            return self.back_off(until - tools.now);
        }
        let trunk = step.trunk.as_ref().and_then(|label| tools.actor.target.trunks.get(label));
        let peer = trunk.and_then(|trunk| trunk.peer.as_ref());
        let Some(flow) = self.access(tools, peer) else { return Flowing::Blocked };
        self.flow = Some(flow);
        self.direction = step.direction;
        self.video = LegVideo::of(step.video.as_deref());
        match step.media {
            MediaMode::None => self.place_call(tools, step),
            MediaMode::Audio => {
                self.open_port(tools);
                self.block(Phase::OpeningPort, None)
            }
        }
    }

    /// The far side had asked for no calls: this one is not placed.
    fn back_off(&mut self, left: Duration) -> Flowing {
        let left = left.as_secs_f64();
        self.unmet.get_or_insert_with(|| format!("dial: no calls are wanted for another {left:.1} s (Retry-After)"));
        self.facts.local_failure.get_or_insert_with(|| Box::new(LocalFailure::BackedOff));
        Flowing::Over
    }

    /// The RTP port is open: the INVITE goes out.
    pub(in crate::call) fn handle_port_for_call(&mut self, tools: &mut Tools<'_>) {
        let Some(step) = self.dialled_step(tools) else { return };
        if tools.actor.target.srtp.policy == Policy::Dtls && self.gather(tools, true) {
            return;
        }
        let flowing = self.place_call(tools, step);
        self.go_on(tools, flowing);
    }

    /// What an application gave as a number is none.
    fn refuse_captured(&mut self) -> Flowing {
        self.unmet.get_or_insert_with(|| "dial: what was captured makes no number that can be dialled".to_owned());
        if let Some(request) = self.facts.requests.last_mut() {
            request.fault.get_or_insert(SideFault::Unexpected);
        }
        Flowing::Over
    }

    fn place_call(&mut self, tools: &mut Tools<'_>, step: &Dial) -> Flowing {
        let target = &tools.actor.target;
        let trunk = step.trunk.as_ref().and_then(|label| target.trunks.get(label));
        let others = tools.cast.accounts(tools.plan);
        let has = |name: &str| others.iter().any(|(other, account)| *other == name && account.is_some());
        if let Some((name, _)) = step.number.text.other_fields().find(|(name, _)| !has(name)) {
            self.unmet.get_or_insert_with(|| format!("dial: {name} has no account in this attempt"));
            self.interrupt();
            return Flowing::Over;
        }
        let captured = self.captured().to_vec();
        let values =
            Values { n: tools.n, account: tools.account, others: &others, captured: &captured, password: false };
        let number = target.final_number(&step.number.text.render(&values), step.trunk.as_deref());
        if step.number.text.uses_captured() && !is_dialable(&number) {
            return self.refuse_captured();
        }
        let uri = request_uri(&number, trunk, (target.server.scheme(), &target.domain));
        let dialled = user_of(&uri);
        self.marks.to = Some(dialled.into());
        if let Err(refusal) = permits(tools, &uri) {
            self.unmet.get_or_insert_with(|| format!("dial: {refusal}"));
            self.interrupt();
            return Flowing::Over;
        }
        let raw = step.raw.as_ref().map(|raw| Arc::new(raw.render(&values)));
        if let Some(Err(refusal)) = raw.as_ref().map(|raw| target.safety.permits_raw(raw)) {
            self.unmet.get_or_insert_with(|| format!("dial: {refusal}"));
            self.interrupt();
            return Flowing::Over;
        }
        let own = tools.account.map(|account| account.user.clone());
        let shown =
            step.from.as_ref().map(|from| from.render(&values)).or_else(|| trunk.and_then(|trunk| trunk.from.clone()));
        let user = shown.clone().or(own).unwrap_or_else(|| "anonymous".to_owned());
        let mut headers: Vec<(String, String)> = target.headers.clone();
        headers.extend(step.headers.iter().map(|(name, text)| (name.clone(), text.render(&values))));
        if let Some(asserted) = &shown {
            headers.push(("P-Asserted-Identity".into(), format!("<sip:{asserted}@{}>", bracketed(&target.domain))));
        }
        if let Some(header) = &target.pairing_header {
            headers.push((header.clone(), tools.whose().call_id()));
        }
        self.marks.from = Some(user.as_str().into());
        if !self.is_recovering() {
            self.marks.dial = Some(self.step as u32);
        }
        let sdp = self.write_offer(tools, NO_SOCKET);
        let Some(flow) = self.flow else { return Flowing::Over };
        // A trunk is another server: what the registrar says of the way out is not meant for it.
        let reached = tools.account.filter(|_| trunk.is_none_or(|trunk| trunk.peer.is_none()));
        let route = reached.map_or_else(Vec::new, |account| tools.endpoint.service_route(&tools.aor(account)).to_vec());
        let call = Invite {
            flow,
            owner: tools.owner,
            uri: &uri,
            from: &format!("<{}:{user}@{}>", target.server.scheme(), bracketed(&target.domain)),
            to: &format!("<{uri}>"),
            contact: &tools.contact(),
            route: &route,
            max_forwards: 70,
            extensions: self.speaks(tools, step.speaks),
            headers: &headers,
            sdp: &sdp,
            credentials: tools.login,
            raw: raw.as_ref(),
            largest_datagram: target.largest_datagram(),
        };
        let Some(handle) = tools.endpoint.invite(tools.now, &call) else {
            return self.lose_link(TransportFault::Unreachable);
        };
        self.marks.sip_call_ids.extend(tools.endpoint.call_id(handle).map(String::into_boxed_str));
        self.session = Some(handle);
        self.note_offered(tools);
        // What an OPTIONS before it was answered is no answer to this.
        self.facts.response = None;
        tools.routes.insert(handle, tools.me);
        self.facts.moments.invite.get_or_insert(tools.now);
        self.request_sent = Some(tools.now);
        self.cancel_at = step.cancel_after.map(|after| tools.now + after);
        self.block(Phase::Dialling, Some(tools.now + step.answer_within))
    }

    /// 1xx: what it tells, and the early media it may bring.
    pub(in crate::call) fn handle_provisional(
        &mut self,
        tools: &mut Tools<'_>,
        code: u16,
        message: Option<&Message<'_>>,
    ) {
        self.note_hop(tools);
        if code == 100 {
            return;
        }
        self.note_forks(tools);
        let first = self.facts.moments.ringing.is_none();
        self.facts.moments.ringing.get_or_insert(tools.at);
        self.facts.moments.status.get_or_insert(tools.at);
        if let (true, Phase::Dialling, Some(step)) = (first, self.phase, self.dialled_step(tools)) {
            // A caller who gives up counts from the first ring.
            self.cancel_at = step.cancel_after.map(|after| tools.at + after);
        }
        if let Some(sdp) = message.and_then(Message::sdp)
            && self.phase == Phase::Dialling
        {
            // Early media that cannot be used is no failure of the call: the answer decides.
            if self.start_media(tools, sdp).is_ok() {
                self.early_from = message.map(tag_of);
            }
        }
    }

    /// 2xx: the call is answered.
    pub(in crate::call) fn handle_answered(&mut self, tools: &mut Tools<'_>, message: Option<&Message<'_>>) {
        self.note_hop(tools);
        self.note_answer(tools, message);
        self.up = true;
        if self.phase != Phase::Dialling {
            return self.wind_down(tools);
        }
        let Some(step) = self.dialled_step(tools) else { return self.wind_down(tools) };
        let usable = match message.and_then(Message::sdp) {
            Some(sdp) => self.start_media(tools, sdp),
            // RFC 3262 §5: the answer was in a provisional response that was acknowledged.
            None if self.early_answer(tools).is_some() => {
                let answer = self.early_answer(tools).unwrap_or_default();
                self.start_media(tools, &answer)
            }
            // The answer was in a provisional response of the same fork, if not reliably so.
            None if self.early_from.is_some() && self.early_from == message.map(tag_of) => Ok(()),
            None => Err("the 2xx carries no SDP".to_owned()),
        };
        if let Err(error) = usable {
            self.facts.bad_answer = Some(error.into());
            return self.wind_down(tools);
        }
        self.check_takes_candidates(tools);
        if self.peer_fault(tools).is_some() {
            // Its early media came to nothing.
            return self.wind_down(tools);
        }
        if self.is_recovering() {
            let flowing = self.recovered(tools);
            return self.go_on(tools, flowing);
        }
        let took = self.request_sent.map(|sent| tools.at.saturating_duration_since(sent));
        let met = self.meets(step.expect.as_ref(), ("dial", Some(self.answer_code()), took), true);
        self.go_on(tools, if met { Flowing::Next } else { Flowing::Over });
    }

    /// A 2xx crossed our CANCEL; the endpoint ends the call.
    pub(in crate::call) fn handle_answered_after_cancel(
        &mut self,
        tools: &mut Tools<'_>,
        message: Option<&Message<'_>>,
    ) {
        self.note_answer(tools, message);
        self.ended_by(tools.now, Party::Us);
        self.phase = Phase::Closing;
    }

    /// The INVITE failed.
    pub(in crate::call) fn handle_refused(
        &mut self,
        tools: &mut Tools<'_>,
        code: u16,
        cause: Cause,
        message: Option<&Message<'_>>,
    ) {
        if self.is_recovering() {
            return self.recover_refused(tools, (code, cause), message);
        }
        let challenged_again = self.session.is_some_and(|session| tools.endpoint.was_challenged(session));
        let wrong = matches!(tools.actor.steps.get(self.step), Some(Step::Dial(step)) if step.raw.is_some());
        self.session = None;
        match cause {
            Cause::Response => self.note_hop(tools),
            // What is wrong on purpose may rightly be dropped.
            Cause::Timeout if wrong => {}
            Cause::Timeout | Cause::Transport => self.doubt_hop(tools),
        }
        if cause == Cause::Transport {
            self.fail_request(tools);
        }
        let moments = &mut self.facts.moments;
        moments.finished.get_or_insert(tools.at);
        if cause == Cause::Response {
            moments.status.get_or_insert(tools.at);
        }
        self.facts.challenged_again = matches!(code, 401 | 407) && challenged_again;
        self.facts.response = Some(observe::final_response(code, cause, message));
        if let Some(message) = message.filter(|_| cause == Cause::Response) {
            observe::reason(&mut self.facts, message);
        }
        self.finish_media(tools);
        let Some(step) = self.dialled_step(tools) else { return self.wind_down(tools) };
        if let (503, Some(response)) = (code, &self.facts.response) {
            tools.back_off.note(tools.now, tools.me.actor.into(), step.trunk.as_deref(), response.retry_after);
        }
        let took = self.request_sent.map(|sent| tools.at.saturating_duration_since(sent));
        let met = self.meets(step.expect.as_ref(), ("dial", observe::received(code, cause), took), false);
        self.go_on(tools, if met { Flowing::Next } else { Flowing::Over });
    }

    /// Nobody answered in time, or the caller has had enough.
    pub(in crate::call) fn give_up(&mut self, tools: &mut Tools<'_>) {
        let Some(session) = self.session else { return };
        (self.deadline, self.cancel_at) = (None, None);
        self.phase = Phase::Cancelling;
        self.facts.cancelled_by_us = true;
        tools.endpoint.cancel(tools.now, session);
    }

    fn early_answer(&self, tools: &Tools<'_>) -> Option<Vec<u8>> {
        tools.endpoint.early_answer(self.session?).map(<[u8]>::to_vec)
    }

    /// Notes how many places the call has reached so far.
    pub(in crate::call) fn note_forks(&mut self, tools: &Tools<'_>) {
        let forks = self.session.and_then(|session| tools.endpoint.forks(session));
        self.facts.forks = forks.or(self.facts.forks);
    }

    fn note_answer(&mut self, tools: &Tools<'_>, message: Option<&Message<'_>>) {
        let moments = &mut self.facts.moments;
        moments.status.get_or_insert(tools.at);
        moments.answered.get_or_insert(tools.at);
        moments.finished.get_or_insert(tools.at);
        self.note_forks(tools);
        let code = message.and_then(Message::code).unwrap_or(200);
        self.facts.response = Some(observe::final_response(code, Cause::Response, message));
    }

    fn answer_code(&self) -> u16 {
        self.facts.response.as_ref().map_or(200, |response| response.code)
    }
}

/// Whether a Request-URI may be dialled. A verdict stands for the whole run, so the patterns see each number once.
fn permits(tools: &mut Tools<'_>, uri: &str) -> Result<(), Refusal> {
    let permitted = &mut tools.permitted[usize::from(tools.me.actor)];
    if permitted.contains(uri) {
        return Ok(());
    }
    tools.actor.target.safety.permits(uri)?;
    if permitted.len() < MOST_PERMITTED {
        permitted.insert(uri.to_owned());
    }
    Ok(())
}

/// What is dialled, as a Request-URI.
pub(in crate::call) fn request_uri(number: &str, trunk: Option<&Trunk>, own: (&str, &str)) -> String {
    let is_uri = ["sip:", "sips:", "tel:"].iter().any(|scheme| number.starts_with(scheme));
    if is_uri {
        return number.to_owned();
    }
    let peer = trunk.and_then(|trunk| trunk.peer.as_ref());
    let (scheme, domain) = peer.map_or(own, |peer| (peer.scheme(), &peer.host));
    // `#` would begin a fragment: RFC 3261 §25.1 has it escaped in a user part.
    format!("{scheme}:{}@{}", number.replace('#', "%23"), bracketed(domain))
}

/// Which fork answers: the tag of To.
fn tag_of(response: &Message<'_>) -> Box<[u8]> {
    response.to().and_then(|to| to.tag()).unwrap_or(b"").into()
}

fn user_of(uri: &str) -> String {
    let parsed = crate::sip::uri::Uri::parse(uri.as_bytes());
    parsed.map_or_else(|| uri.to_owned(), |uri| crate::sip::header::text(uri.user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Server, Transport};

    #[test]
    fn a_number_becomes_a_request_uri_through_its_trunk() {
        let peer = Server::new("192.0.2.1", None, Transport::Udp);
        let trunk = Trunk { peer: Some(peer), ..Trunk::default() };
        assert_eq!(request_uri("2000", None, ("sips", "pbx")), "sips:2000@pbx");
        assert_eq!(request_uri("2000", None, ("sip", "::1")), "sip:2000@[::1]");
        assert_eq!(request_uri("0800*1#", Some(&trunk), ("sips", "pbx")), "sip:0800*1%23@192.0.2.1");
        assert_eq!(request_uri("tel:+886", Some(&trunk), ("sips", "pbx")), "tel:+886");
        assert_eq!(user_of("sip:2000@pbx;transport=tcp"), "2000");
    }
}
