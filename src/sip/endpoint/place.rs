//! The places of an endpoint: an entry each, its timer and its end.

use std::time::Instant;

use super::options::Options;
use super::{Endpoint, Registration, Session};
use crate::sip::flow::Flow;
use crate::sip::message::Message;
use crate::sip::outbox::Context;
use crate::sip::session::Remnant;
use crate::sip::token::Handle;

#[derive(Debug)]
pub(super) struct Place {
    pub(super) generation: u32,
    pub(super) entry: Entry,
    pub(super) armed: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Entry {
    Free,
    Session(Box<Session>),
    /// A call of ours that is over.
    Remnant(Box<Remnant>),
    Registration(Box<Registration>),
    Options(Box<Options>),
}

impl Endpoint {
    pub(super) fn is_current(&self, handle: Handle) -> bool {
        self.entry(handle).is_some()
    }

    pub(super) fn is_session_of(&self, handle: Handle, request: &Message<'_>) -> bool {
        let call_id = match self.entry(handle) {
            Some(Entry::Session(session)) => Some(session.call_id()),
            Some(Entry::Remnant(remnant)) => remnant.call_id(),
            _ => None,
        };
        call_id.is_some() && call_id == request.call_id()
    }

    /// Whether the handle was given away once, even if what stood there is gone.
    pub(super) fn was_given(&self, handle: Handle) -> bool {
        self.places.get(handle.index as usize).is_some_and(|place| handle.generation <= place.generation)
    }

    pub(super) fn entry(&self, handle: Handle) -> Option<&Entry> {
        let place = self.places.get(handle.index as usize)?;
        (place.generation == handle.generation && !matches!(place.entry, Entry::Free)).then_some(&place.entry)
    }

    pub(super) fn entry_mut(&mut self, handle: Handle) -> Option<&mut Entry> {
        let place = self.places.get_mut(handle.index as usize)?;
        (place.generation == handle.generation && !matches!(place.entry, Entry::Free)).then_some(&mut place.entry)
    }

    pub(super) fn enter(
        &mut self,
        now: Instant,
        make: impl FnOnce(&mut Context<'_>) -> Option<Entry>,
    ) -> Option<Handle> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, entry: Entry::Free, armed: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.generation += 1;
        place.armed = None;
        let handle = Handle { index, generation: place.generation };
        match make(&mut self.context(now, handle)) {
            Some(entry) => {
                self.places[index as usize].entry = entry;
                self.settle(now, handle);
                Some(handle)
            }
            None => {
                self.free.push(index);
                None
            }
        }
    }

    pub(super) fn with_session<R>(
        &mut self,
        now: Instant,
        handle: Handle,
        act: impl FnOnce(&mut Context<'_>, &mut Session) -> R,
    ) -> Option<R> {
        self.with_entry(now, handle, |context, entry| match entry {
            Entry::Session(session) => Some(act(context, session)),
            _ => None,
        })
        .flatten()
    }

    /// Lets an entry act, then sees to its timer and its end.
    pub(super) fn with_entry<R>(
        &mut self,
        now: Instant,
        handle: Handle,
        act: impl FnOnce(&mut Context<'_>, &mut Entry) -> R,
    ) -> Option<R> {
        let place = self.places.get_mut(handle.index as usize)?;
        if place.generation != handle.generation || matches!(place.entry, Entry::Free) {
            return None;
        }
        let mut entry = std::mem::replace(&mut place.entry, Entry::Free);
        if let Entry::Remnant(remnant) = entry {
            entry = remnant.revive().map_or(Entry::Free, |session| Entry::Session(Box::new(session)));
        }
        let result = act(&mut self.context(now, handle), &mut entry);
        self.places[handle.index as usize].entry = entry;
        self.settle(now, handle);
        Some(result)
    }

    pub(super) fn settle(&mut self, now: Instant, handle: Handle) {
        let place = &mut self.places[handle.index as usize];
        if let Entry::Session(session) = &mut place.entry
            && let Some(remnant) = session.remnant()
        {
            place.entry = Entry::Remnant(Box::new(remnant));
        }
        let (over, deadline, key) = match &place.entry {
            Entry::Session(session) => (session.is_over(now), session.deadline(), session.served_key()),
            Entry::Remnant(remnant) => (remnant.until <= now, Some(remnant.until), None),
            Entry::Registration(registration) => (registration.is_over(), registration.deadline(), None),
            Entry::Options(options) => (options.over, options.exchange.deadline(), None),
            Entry::Free => return,
        };
        if over {
            place.entry = Entry::Free;
            self.free.push(handle.index);
            if let Some(key) = key {
                self.forget_later(now, key);
            }
        } else if let Some(deadline) = deadline.filter(|at| place.armed.is_none_or(|armed| *at < armed)) {
            place.armed = Some(deadline);
            self.timers.insert(deadline, handle);
        }
    }

    pub(super) fn forget_later(&mut self, now: Instant, key: u64) {
        if let Some(known) = self.invited.get_mut(&key) {
            known.session = None;
            self.over.push_back((now + self.config.timers.timeout(), key));
        }
        while let Some((_, key)) = self.over.pop_front_if(|(until, _)| *until <= now) {
            if let Some(known) = self.invited.remove(&key) {
                self.merged.remove(&known.merge);
            }
        }
    }

    pub(super) fn context(&mut self, now: Instant, handle: Handle) -> Context<'_> {
        Context {
            now,
            handle,
            salt: self.salt,
            timers: &self.config.timers,
            links: &self.links,
            agent: &self.config.agent,
            fails_over: self.config.fails_over,
            keeps_lost: self.config.keeps_lost,
            random: &mut self.random,
            out: &mut self.out,
        }
    }
}

impl Entry {
    pub(super) fn flow(&self) -> Option<Flow> {
        match self {
            Self::Session(session) => Some(session.flow()),
            Self::Remnant(remnant) => Some(remnant.flow),
            Self::Registration(registration) => Some(registration.flow()),
            Self::Options(options) => Some(options.flow),
            Self::Free => None,
        }
    }

    pub(super) fn owner(&self) -> Option<u64> {
        match self {
            Self::Session(session) => Some(session.owner),
            Self::Remnant(remnant) => Some(remnant.owner),
            Self::Registration(registration) => Some(registration.owner()),
            Self::Options(options) => Some(options.owner),
            Self::Free => None,
        }
    }
}
