//! Points in memory, with the semantics of a real server: equal series and time become one point.

use std::collections::{BTreeMap, HashMap};

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

/// Fields of a point by their names, values as text.
pub(crate) type Fields = BTreeMap<String, String>;

/// What a front has stored and seen.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// (Series, time) → fields.
    pub(crate) points: BTreeMap<(String, i64), Fields>,
    /// Types of the fields of each measurement, by their names.
    types: HashMap<(String, String), &'static str>,
    /// Writes that arrived, faulty ones too.
    pub(crate) requests: u64,
    /// Points that arrived again with the same fields.
    pub(crate) repeated: u64,
    /// Points that replaced others: results lost in silence.
    pub(crate) overwritten: u64,
}

impl Store {
    /// Stores a batch, or says what is wrong with its first bad line. Lines that hold `refused` are bad.
    pub(crate) fn write(&mut self, body: &[u8], keeps_good_lines: bool, refused: Option<&str>) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "invalid UTF-8".to_owned())?;
        let mut bad = None;
        let mut good = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let checked = match refused {
                Some(refused) if line.contains(refused) => Err(format!("`{refused}` is refused")),
                _ => self.check(line),
            };
            match checked {
                Ok(point) => good.push(point),
                Err(reason) => bad = bad.or_else(|| Some(format!("line {}: {reason}", number + 1))),
            }
        }
        if bad.is_none() || keeps_good_lines {
            good.into_iter().for_each(|(key, fields)| self.insert(key, fields));
        }
        bad.map_or(Ok(()), Err)
    }

    /// Values of one field over all points of a measurement, sorted.
    pub(crate) fn values(&self, measurement: &str, field: &str) -> Vec<String> {
        let points = self.points.iter().filter(|((series, _), _)| series.split(',').next() == Some(measurement));
        let mut values: Vec<String> = points.filter_map(|(_, fields)| fields.get(field).cloned()).collect();
        values.sort();
        values
    }

    /// Counts as JSON.
    pub(crate) fn stats(&self) -> String {
        let Self { points, requests, repeated, overwritten, .. } = self;
        let points = points.len();
        format!(r#"{{"requests":{requests},"points":{points},"repeated":{repeated},"overwritten":{overwritten}}}"#)
    }

    /// Refuses what real servers refuse.
    fn check(&mut self, line: &str) -> Result<((String, i64), Fields), String> {
        let point = parse_lines(line).next().ok_or("no point")?.map_err(|error| format!("unable to parse: {error}"))?;
        let time = point.timestamp.ok_or("no time stamp")?;
        let series = series_of(&point)?;
        let measurement = point.series.measurement.to_string();
        let mut fields = Fields::new();
        for (name, value) in &point.field_set {
            let kind = kind_of(value);
            let known = *self.types.entry((measurement.clone(), name.to_string())).or_insert(kind);
            if known != kind || kind == "unsigned" {
                return Err(format!("field type conflict: {name} is {known}, not {kind}"));
            }
            fields.insert(name.to_string(), text_of(value));
        }
        Ok(((series, time), fields))
    }

    fn insert(&mut self, key: (String, i64), fields: Fields) {
        match self.points.insert(key, fields.clone()) {
            None => {}
            Some(before) if before == fields => self.repeated += 1,
            Some(_) => self.overwritten += 1,
        }
    }
}

fn series_of(point: &ParsedLine<'_>) -> Result<String, String> {
    let mut series = point.series.measurement.to_string();
    for (key, value) in point.series.tag_set.iter().flatten() {
        if value.is_empty() || value.ends_with('\\') {
            return Err("missing tag value".into());
        }
        series.push_str(&format!(",{key}={value}"));
    }
    Ok(series)
}

fn kind_of(value: &FieldValue<'_>) -> &'static str {
    match value {
        FieldValue::I64(_) => "integer",
        FieldValue::U64(_) => "unsigned",
        FieldValue::F64(_) => "float",
        FieldValue::String(_) => "string",
        FieldValue::Boolean(_) => "boolean",
    }
}

fn text_of(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::String(text) => text.to_string(),
        other => other.to_string(),
    }
}
