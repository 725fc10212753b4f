//! Actors with weights: which of them make up an attempt together, and how often each kind of attempt comes.

use super::doc::{At, Report};
use crate::pace::Mix;
use crate::scenario::file::ScenarioFile;
use crate::scenario::plan::{Actor, Kinds};

/// The kinds of attempts, where actors have weights. Actors (and their places) are put in an order in which each kind's
/// stand together.
pub(super) fn compile(
    file: &ScenarioFile,
    actors: &mut Vec<Actor>,
    places: &mut Vec<At<'_>>,
    seed: u64,
    report: &mut Report,
) -> Option<Kinds> {
    let weight_of = |name: &str| file.actors.as_ref()?.get(name)?.weight;
    if let (Some(caller), Some(at)) = (&file.caller, places.first())
        && caller.weight.is_some()
    {
        let help = "a weight is a share beside others: leave it out, or write several `actors:`";
        report.add(at.key("weight"), "`caller` is alone", help);
        return None;
    }
    let weights: Vec<Option<u32>> = actors.iter().map(|actor| weight_of(&actor.name)).collect();
    if weights.iter().all(Option::is_none) {
        return None;
    }
    let kinds = kinds_of(actors, &weights);
    for (index, kind) in kinds.iter().enumerate() {
        let (name, at) = (&actors[index].name, places[index]);
        match kind {
            Kind::Of(_) => {}
            Kind::None => {
                let help = "give it a `weight`, or let it wait for an actor that has one (`when`), or the other way";
                report.add(at, format!("`{name}` takes part in no attempt: others have a weight"), help);
            }
            Kind::Several => {
                let help = "give it no `weight` where it goes with another, or write it twice under two names";
                report.add(at, format!("`{name}` belongs to more than one actor with a weight"), help);
            }
        }
    }
    if kinds.iter().any(|kind| !matches!(kind, Kind::Of(_))) {
        return None;
    }
    let mut order: Vec<usize> = (0..actors.len()).collect();
    order.sort_by_key(|index| kinds[*index]);
    let casts = kinds_in_order(&order, &kinds);
    let weights: Vec<u32> = casts.iter().filter_map(|(kind, _)| weights[*kind]).collect();
    reorder(actors, places, &order);
    Some(Kinds { mix: Mix::new(&weights, seed), casts: casts.into_iter().map(|(_, cast)| cast).collect() })
}

/// Whose attempts an actor takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Those of the actor with this index.
    Of(usize),
    None,
    Several,
}

/// Actors that wait for each other, directly or through others, belong together.
fn kinds_of(actors: &[Actor], weights: &[Option<u32>]) -> Vec<Kind> {
    let mut group: Vec<usize> = (0..actors.len()).collect();
    for _ in 0..actors.len() {
        for (index, actor) in actors.iter().enumerate() {
            for other in actor.when.iter().map(|when| when.actor).chain(actor.account_of) {
                let least = group[index].min(group[other]);
                (group[index], group[other]) = (least, least);
            }
        }
    }
    let kind = |own: usize| {
        let mut weighted = (0..actors.len()).filter(|other| group[*other] == own && weights[*other].is_some());
        match (weighted.next(), weighted.next()) {
            (Some(only), None) => Kind::Of(only),
            (None, _) => Kind::None,
            (Some(_), Some(_)) => Kind::Several,
        }
    };
    group.iter().map(|own| kind(*own)).collect()
}

/// Each kind, by the actor that has its weight, and the places of its actors in the new order.
fn kinds_in_order(order: &[usize], kinds: &[Kind]) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut casts: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for (place, index) in order.iter().enumerate() {
        let Kind::Of(kind) = kinds[*index] else { continue };
        match casts.last_mut().filter(|(last, _)| *last == kind) {
            Some((_, cast)) => cast.end = place + 1,
            None => casts.push((kind, place..place + 1)),
        }
    }
    casts
}

fn reorder(actors: &mut Vec<Actor>, places: &mut Vec<At<'_>>, order: &[usize]) {
    *places = order.iter().map(|index| places[*index]).collect();
    *actors = order.iter().map(|index| actors[*index].clone()).collect();
    let now = |before: usize| order.iter().position(|index| *index == before).unwrap_or(before);
    for actor in actors {
        actor.account_of = actor.account_of.map(now);
        if let Some(when) = &mut actor.when {
            when.actor = now(when.actor);
        }
    }
}
