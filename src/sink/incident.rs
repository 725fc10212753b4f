//! The `incident` point: one for each change of an incident.

use super::line::{Field, Point, nanoseconds};
use crate::incident::{Change, Incident};
use crate::record::Finding;

/// A change of an incident, for the database.
#[derive(Clone, Copy, Debug)]
pub struct IncidentPoint<'a> {
    /// When it changed.
    pub time: jiff::Timestamp,
    /// The site of the watch that saw it.
    pub site: Option<&'a str>,
    /// What has happened.
    pub change: Change,
    /// The incident as it stands now.
    pub incident: &'a Incident,
}

/// Its point. `class` is the finding, or without one what most of its calls showed.
pub fn point_of_incident(point: &IncidentPoint<'_>) -> Option<Point> {
    let IncidentPoint { time, site, change, incident } = *point;
    let class = incident.finding.map_or_else(|| incident.symptom.name(), Finding::name);
    let tags = [("class", class), ("site", site.unwrap_or("")), ("unit", incident.unit.as_deref().unwrap_or(""))];
    let text = |value: &str| Some(Field::Text(value.to_owned()));
    let count = |value: u64| Some(Field::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    let tested = incident.agents_tested;
    let share = (tested > 0).then(|| f64::from(incident.agents_failing) / f64::from(tested));
    let fields = [
        ("id", text(&incident.id)),
        ("state", text(change.name())),
        ("open", Some(Field::Bool(incident.closed_at.is_none() && change != Change::Merged))),
        ("scope", text(incident.scope.name())),
        ("scope_value", text(&incident.value)),
        ("severity", text(incident.severity.name())),
        ("widespread", Some(Field::Bool(incident.widespread))),
        ("agents", count(incident.agents_failing.into())),
        ("share", share.map(Field::Float)),
        ("failures", count(incident.failures)),
        ("tested", count(incident.tested)),
        ("confidence", Some(Field::Float(incident.confidence))),
        ("reproduced", incident.reproduced.map(Field::Bool)),
        ("first_call_id", text(&incident.first_call.call_id)),
        ("last_call_id", text(&incident.last_call.call_id)),
    ];
    let known = fields.into_iter().filter_map(|(name, field)| Some((name, field?)));
    Point::new("incident", tags, known, nanoseconds(time))
}
