//! The targets that a scenario uses: which file each is, each read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::doc::{self, At, Report};
use super::site::Site;
use super::{Input, kind_of, lab, site};
use crate::scenario::file::{LabFile, ScenarioFile, TargetFile};
use crate::scenario::lab::LabPlan;
use crate::scenario::safety::Safety;
use crate::scenario::schema::FileKind;

/// The built-in lab.
const LAB: &str = "lab";

/// The targets of a scenario.
#[derive(Default)]
pub(super) struct Sites {
    /// By the text that names them.
    by_name: BTreeMap<String, Option<usize>>,
    by_file: BTreeMap<PathBuf, Option<usize>>,
    all: Vec<Site>,
    /// The scenario's own.
    main: Option<usize>,
}

/// Reads the targets of a scenario.
pub(super) fn load(input: &Input<'_>, file: &ScenarioFile, at: At<'_>, report: &mut Report) -> Sites {
    let mut sites = Sites::default();
    sites.main = match (input.target, &file.target) {
        (Some(wanted), _) => sites.given(input, wanted, at, report),
        (None, Some(wanted)) => sites.named(input, wanted, at.key("target"), report),
        (None, None) => None,
    };
    let actors = file.actors.iter().flatten();
    for (name, actor) in actors {
        if let Some(wanted) = &actor.target {
            sites.named(input, wanted, at.key("actors").key(name).key("target"), report);
        }
    }
    if let Some(wanted) = file.caller.as_ref().and_then(|caller| caller.target.as_ref()) {
        sites.named(input, wanted, at.key("caller").key("target"), report);
    }
    if sites.all.iter().filter(|site| site.lab.is_some()).count() > 1 {
        report.add(at, "two labs in one scenario are not supported yet", "use one lab for all actors");
    }
    sites
}

/// Reads the target of a scenario that is too broken to be read itself.
pub(super) fn of_broken_scenario(input: &Input<'_>, at: At<'_>, report: &mut Report) {
    let mut sites = Sites::default();
    match (input.target, at.node().get("target").and_then(|node| node.text())) {
        (Some(wanted), _) => sites.given(input, wanted, at, report),
        (None, Some(wanted)) => sites.named(input, wanted, at.key("target"), report),
        (None, None) => None,
    };
}

impl Sites {
    /// The target of an actor: its own, else the scenario's.
    pub(super) fn of(&self, own: Option<&str>) -> Option<&Site> {
        let index = match own {
            Some(name) => self.by_name.get(name).copied().flatten(),
            None => self.main,
        };
        index.map(|index| &self.all[index])
    }

    /// All but one.
    pub(super) fn others(&self, own: &Site) -> Vec<&Site> {
        self.all.iter().filter(|site| !std::ptr::eq(*site, own)).collect()
    }

    /// The bounds of all together; nothing where no target could be read.
    pub(super) fn safety(&self) -> Option<Safety> {
        let (first, rest) = self.all.split_first()?;
        Some(rest.iter().fold((*first.target.safety).clone(), |joined, site| joined.join(&site.target.safety)))
    }

    pub(super) fn mask_numbers(&self) -> bool {
        self.all.iter().any(|site| site.mask_numbers)
    }

    pub(super) fn lab(&self) -> Option<Arc<LabPlan>> {
        self.all.iter().find_map(|site| site.lab.clone())
    }

    /// A target that a scenario names.
    fn named(&mut self, input: &Input<'_>, wanted: &str, at: At<'_>, report: &mut Report) -> Option<usize> {
        if let Some(known) = self.by_name.get(wanted) {
            return *known;
        }
        let index = if wanted == LAB {
            Some(self.add(lab::site(LAB, LabPlan::default(), false)))
        } else {
            let path = if is_path(wanted) { wanted.to_owned() } else { format!("targets/{wanted}.yaml") };
            self.file(input, &at.doc().beside(&path), at, report)
        };
        self.by_name.insert(wanted.to_owned(), index);
        index
    }

    /// `--target`: a bare name as in the scenario, a path from the working directory.
    fn given(&mut self, input: &Input<'_>, wanted: &str, at: At<'_>, report: &mut Report) -> Option<usize> {
        if is_path(wanted) {
            self.file(input, Path::new(wanted), at, report)
        } else {
            self.named(input, wanted, at, report)
        }
    }

    fn file(&mut self, input: &Input<'_>, path: &Path, at: At<'_>, report: &mut Report) -> Option<usize> {
        if let Some(known) = self.by_file.get(path) {
            return *known;
        }
        let site = read(input, path, at, report);
        let index = site.map(|site| self.add(site));
        self.by_file.insert(path.to_owned(), index);
        index
    }

    fn add(&mut self, site: Site) -> usize {
        self.all.push(site);
        self.all.len() - 1
    }
}

fn read(input: &Input<'_>, path: &Path, at: At<'_>, report: &mut Report) -> Option<Site> {
    let text = doc::read(input, path, at, report)?;
    if kind_of(&text) == FileKind::Lab {
        let (doc, file) = doc::load::<LabFile>(FileKind::Lab, path, text, &[], report)?;
        let file = file?;
        let plan = lab::compile(input, &file, doc.at(), report);
        return Some(lab::site(&file.lab, plan, doc.lossy));
    }
    let (doc, file) = doc::load::<TargetFile>(FileKind::Target, path, text, &[], report)?;
    file.map(|file| site::compile(input, &file, doc.at(), report))
}

fn is_path(wanted: &str) -> bool {
    wanted.contains(['/', '\\']) || wanted.ends_with(".yaml") || wanted.ends_with(".yml")
}
