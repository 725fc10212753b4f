//! The values of labels that results carry: what passed on each, what usually fails, which always come together.

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::again::Moment;
use super::usual::Usual;
use crate::incident::family::{FAMILIES, Family, STAGES, Stage};
use crate::incident::labels::{LABELS, Label, Labels};

/// One id for each kind of label.
pub(super) type Ids = [u32; LABELS];
/// The result does not carry this kind.
pub(super) const NONE: u32 = u32::MAX;
/// Has come with several values of that kind, or once without any.
const MANY: u32 = u32::MAX - 1;
/// Has not come yet.
const UNSEEN: u32 = u32::MAX - 2;
const EVERY_KIND: u16 = (1 << LABELS) - 1;

/// A longer value is cut: it is a mistake, and the memory is bounded.
const LONGEST: usize = 128;
/// The background of a platform before anything is known: lines lose 0.5–2 % of calls for no lasting reason.
const PRIOR: f32 = 0.01;
/// So many results are worth as much as what is believed before: of a platform the above, of any other value its platform.
const WORTH: f32 = 200.0;
/// Counts of a background are halved here, so that it follows what changes over weeks.
const HALVED_AT: f32 = 20_000.0;
/// The least background that is reckoned with, however long nothing failed: no failure says more than 10,000 to 1.
const LEAST: f64 = 1e-4;
/// An estimate is taken for so many times itself, for it is one.
pub(super) const CAUTION: f64 = 1.5;

/// Failures that no incident explains, and results that could have failed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Background {
    failed: [f32; FAMILIES],
    tested: [f32; STAGES],
}

impl Background {
    /// The mean of a Beta distribution, whose mean was `before` at first.
    fn rate(&self, family: Family, before: f32) -> f32 {
        let tested = self.tested[family.stage() as usize];
        (self.failed[family.index()] + before * WORTH) / (tested + WORTH)
    }

    fn passed(&mut self, stage: Stage) {
        let tested = &mut self.tested[stage as usize];
        *tested += 1.0;
        if *tested > HALVED_AT {
            self.tested.iter_mut().chain(&mut self.failed).for_each(|count| *count /= 2.0);
        }
    }

    fn failed(&mut self, family: Family, weight: f32) {
        self.failed[family.index()] += weight;
        self.passed(family.stage());
    }
}

/// One value of one kind of label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Value {
    pub(super) label: Label,
    pub(super) name: String,
    /// Results that passed each stage since the value was first seen.
    passed: [u64; STAGES],
    /// When a repetition was last asked for, ms.
    pub(super) asked: Option<u64>,
    /// Of agents: the last moment at which they failed.
    pub(super) moment: Option<Moment>,
    /// The one value of each other kind that it has come with, in this generation and the one before.
    with: [Ids; 2],
    /// Kinds whose entry in `with[0]` is not [`MANY`] yet.
    single: u16,
    background: Background,
    seen: u64,
    /// Of trunks, and of platforms for calls without one.
    usual: Option<Box<Usual>>,
    /// Of platforms: the background by hour of the day.
    hours: Vec<Background>,
}

impl Value {
    fn new(label: Label, name: &str) -> Self {
        let hours = if label == Label::Platform { 24 } else { 0 };
        Self {
            label,
            name: name.to_owned(),
            passed: [0; STAGES],
            asked: None,
            moment: None,
            with: [[UNSEEN; LABELS]; 2],
            single: EVERY_KIND,
            background: Background::default(),
            seen: 0,
            usual: None,
            hours: vec![Background::default(); hours],
        }
    }

    /// Results so far that passed where they could have failed of a family.
    pub(super) fn passed(&self, family: Family) -> u64 {
        self.passed[family.stage() as usize]
    }

    /// The only value of a kind that it has ever come with.
    fn sole(&self, label: Label) -> Option<u32> {
        let [now, before] = self.with.map(|ids| ids[label.index()]);
        match (now, before) {
            (UNSEEN, only) | (only, UNSEEN) => Some(only),
            (only, same) if only == same => Some(only),
            _ => None,
        }
        .filter(|only| *only < UNSEEN)
    }
}

/// Every value that is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Values {
    list: Vec<Option<Value>>,
    /// Names to ids; rebuilt after a restart.
    #[serde(skip)]
    index: [FxHashMap<String, u32>; LABELS],
    free: Vec<u32>,
    /// Values that found no place.
    pub(super) refused: u64,
}

impl Values {
    pub(super) fn of(&self, id: u32) -> &Value {
        self.list[id as usize].as_ref().expect("an id is forgotten only when nothing holds it")
    }

    pub(super) fn of_mut(&mut self, id: u32) -> &mut Value {
        self.list[id as usize].as_mut().expect("an id is forgotten only when nothing holds it")
    }

    /// How many values are known.
    pub(super) fn len(&self) -> usize {
        self.list.len() - self.free.len()
    }

    /// One more than the highest id.
    pub(super) fn ids(&self) -> usize {
        self.list.len()
    }

    /// The index again, after it was read back.
    pub(super) fn rebuild(&mut self) {
        self.index = Default::default();
        for (id, value) in self.list.iter().enumerate() {
            if let Some(value) = value {
                self.index[value.label.index()].insert(value.name.clone(), id as u32);
            }
        }
    }

    /// The ids of a result's labels; a new value takes a place if one of `most` is free.
    pub(super) fn enter(&mut self, labels: &Labels<'_>, now: u64, most: usize) -> Ids {
        let mut ids = [NONE; LABELS];
        for label in Label::ALL {
            if let Some(name) = labels.get(*label) {
                ids[label.index()] = self.id(*label, cut(name), most);
            }
        }
        for id in ids {
            if id != NONE {
                let value = self.list[id as usize].as_mut().expect("it was just found");
                value.seen = now;
                let mut kinds = value.single;
                while kinds != 0 {
                    let kind = kinds.trailing_zeros() as usize;
                    kinds &= kinds - 1;
                    let with = &mut value.with[0][kind];
                    if *with == UNSEEN && ids[kind] != NONE {
                        *with = ids[kind];
                    } else if *with != ids[kind] {
                        *with = MANY;
                        value.single &= !(1 << kind);
                    }
                }
            }
        }
        ids
    }

    fn id(&mut self, label: Label, name: &str, most: usize) -> u32 {
        if let Some(id) = self.index[label.index()].get(name) {
            return *id;
        }
        if self.len() >= most {
            self.refused += 1;
            return NONE;
        }
        let value = Some(Value::new(label, name));
        let id = match self.free.pop() {
            Some(id) => {
                self.list[id as usize] = value;
                id
            }
            None => {
                self.list.push(value);
                self.list.len() as u32 - 1
            }
        };
        self.index[label.index()].insert(name.to_owned(), id);
        id
    }

    /// Forgets values that were not seen since `before` and that `held` does not name.
    pub(super) fn forget(&mut self, before: u64, held: impl Fn(u32) -> bool) {
        for (id, place) in self.list.iter_mut().enumerate() {
            let id = id as u32;
            if let Some(value) = place.take_if(|value| value.seen < before && !held(id)) {
                self.index[value.label.index()].remove(&value.name);
                self.free.push(id);
            }
        }
    }

    /// Begins a new generation of what comes together: a trunk may move to another gateway.
    pub(super) fn renew(&mut self) {
        for value in self.list.iter_mut().flatten() {
            value.with[1] = std::mem::replace(&mut value.with[0], [UNSEEN; LABELS]);
            value.single = EVERY_KIND;
        }
    }

    /// Values that the very same results carry, this one included, the narrowest kind first.
    pub(super) fn twins(&self, id: u32) -> Vec<u32> {
        let own = self.of(id);
        let twin = |label: &Label| {
            if *label == own.label {
                return Some(id);
            }
            let other = own.sole(*label)?;
            let known = self.list.get(other as usize)?.as_ref()?;
            (known.label == *label && known.sole(own.label) == Some(id)).then_some(other)
        };
        Label::ALL.iter().filter_map(twin).collect()
    }

    /// Whether a fault may be looked for at this value: no narrower kind has a twin of it, for of twins only one is reckoned
    /// with, and it is not the only codec or transport.
    pub(super) fn is_a_place(&self, id: u32) -> bool {
        self.twins(id).into_iter().find(|twin| !self.is_the_only_way(*twin)) == Some(id)
    }

    /// The only codec or transport. Those are agreed on by calls that got so far: others lack them because they failed, and
    /// not as calls that go another way.
    fn is_the_only_way(&self, id: u32) -> bool {
        let label = self.of(id).label;
        matches!(label, Label::Codec | Label::Transport) && self.index[label.index()].len() == 1
    }

    /// A result passed a stage.
    pub(super) fn pass(&mut self, ids: &Ids, stage: Stage, hour: usize) {
        for id in ids.iter().filter(|id| **id != NONE) {
            let value = self.of_mut(*id);
            value.passed[stage as usize] += 1;
            value.background.passed(stage);
            if let Some(hour) = value.hours.get_mut(hour) {
                hour.passed(stage);
            }
        }
    }

    /// A failure was explained by no incident: so much of it is background.
    pub(super) fn learn(&mut self, ids: &Ids, family: Family, hour: usize, weight: f32) {
        for id in ids.iter().filter(|id| **id != NONE) {
            let value = self.of_mut(*id);
            value.background.failed(family, weight);
            if let Some(hour) = value.hours.get_mut(hour) {
                hour.failed(family, weight);
            }
        }
    }

    /// How likely a result with these labels fails for no lasting reason: the highest of its labels, and of its platform
    /// at this hour of the day.
    pub(super) fn background(&self, ids: &Ids, family: Family, hour: usize) -> f64 {
        let platform = Some(ids[Label::Platform.index()]).filter(|id| *id != NONE).map(|id| self.of(id));
        let whole = platform.map_or(PRIOR, |platform| platform.background.rate(family, PRIOR));
        let now = platform.and_then(|platform| platform.hours.get(hour)).map_or(whole, |hour| hour.rate(family, whole));
        let of = |id: &u32| self.of(*id).background.rate(family, whole);
        let others = ids[..Label::Platform.index()].iter().filter(|id| **id != NONE);
        let highest = others.map(of).fold(whole.max(now), f32::max);
        (CAUTION * f64::from(highest)).clamp(LEAST, 0.5)
    }

    /// The baseline that a result is compared with: that of its trunk, else of its platform.
    pub(super) fn usual(&mut self, ids: &Ids) -> Option<&mut Usual> {
        let [trunk, platform] = [Label::Trunk, Label::Platform].map(|label| ids[label.index()]);
        let id = if trunk == NONE { platform } else { trunk };
        (id != NONE).then(|| &mut **self.of_mut(id).usual.get_or_insert_default())
    }
}

/// The hour of the day (UTC) of a stamp.
pub(super) fn hour_of(at: Timestamp) -> usize {
    (at.as_second().div_euclid(3600)).rem_euclid(24) as usize
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST)]
}
