//! `options`: OPTIONS and its final response.

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::scenario::plan::{Options, Step};
use crate::sip::endpoint::Ping;
use crate::sip::exchange::Cause;
use crate::sip::message::Message;
use crate::sip::uri::bracketed;

impl Leg {
    pub(in crate::call) fn begin_options(&mut self, tools: &mut Tools<'_>, _: &Options) -> Flowing {
        let Some(flow) = self.access(tools, None) else { return Flowing::Blocked };
        let target = &tools.actor.target;
        let user = tools.account.map_or("ringfleet", |account| &account.user);
        let (scheme, domain) = (target.server.scheme(), bracketed(&target.domain));
        // RFC 3608 §5: what the registrar says of the way out is meant for every request of the account.
        let route =
            tools.account.map_or_else(Vec::new, |account| tools.endpoint.service_route(&tools.aor(account)).to_vec());
        let ping = Ping {
            flow,
            owner: tools.owner,
            uri: &format!("{scheme}:{domain}"),
            from: &format!("<{scheme}:{user}@{domain}>"),
            route: &route,
            headers: &target.headers,
            largest_datagram: target.largest_datagram(),
            credentials: tools.login,
        };
        let Some(handle) = tools.endpoint.options(tools.now, &ping) else {
            return self.lose_link(crate::record::TransportFault::Unreachable);
        };
        self.ping = Some(handle);
        self.request_sent = Some(tools.now);
        tools.routes.insert(handle, tools.me);
        self.block(Phase::Pinging, None)
    }

    /// The final response to OPTIONS, or none in time.
    pub(in crate::call) fn handle_options_answered(
        &mut self,
        tools: &mut Tools<'_>,
        code: u16,
        cause: Cause,
        message: Option<&Message<'_>>,
    ) {
        self.ping = None;
        match cause {
            Cause::Response => self.note_hop(tools),
            Cause::Transport => drop(self.fail_request(tools)),
            Cause::Timeout => {}
        }
        self.facts.response = Some(observe::final_response(code, cause, message));
        self.facts.moments.finished.get_or_insert(tools.at);
        let Some(Step::Options(step)) = tools.actor.steps.get(self.step) else { return };
        let took = self.request_sent.map(|sent| tools.at.saturating_duration_since(sent));
        let met = self.meets(
            step.expect.as_ref(),
            ("options", observe::received(code, cause), took),
            (200..300).contains(&code),
        );
        self.go_on(tools, if met { Flowing::Next } else { Flowing::Over });
    }
}
