//! JSON Schemas of the files, generated from the types that read them.

use super::file::{LabFile, ScenarioFile, TargetFile, WatchFile};

/// Kinds of files that people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Who calls whom, how often, and what has to hold.
    Scenario,
    /// Where calls go.
    Target,
    /// What is checked again and again, and who is told.
    Watch,
    /// A simulated PBX.
    Lab,
}

impl FileKind {
    /// All kinds.
    pub const ALL: &[Self] = &[Self::Scenario, Self::Target, Self::Watch, Self::Lab];

    /// Its name, which is also the key that such a file begins with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Target => "target",
            Self::Watch => "watch",
            Self::Lab => "lab",
        }
    }

    /// Its JSON Schema (draft 2020-12).
    pub fn schema(self) -> serde_json::Value {
        let schema = match self {
            Self::Scenario => schemars::schema_for!(ScenarioFile),
            Self::Target => schemars::schema_for!(TargetFile),
            Self::Watch => schemars::schema_for!(WatchFile),
            Self::Lab => schemars::schema_for!(LabFile),
        };
        schema.to_value()
    }

    /// Its JSON Schema as the text of a file.
    pub fn schema_text(self) -> String {
        let mut rest = match self.schema() {
            serde_json::Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        // What a reader looks for first stands first.
        let mut fields = serde_json::Map::new();
        for name in ["$schema", "title", "description", "type"] {
            fields.extend(rest.shift_remove_entry(name));
        }
        fields.extend(rest);
        let mut text = serde_json::to_string_pretty(&fields).expect("a schema has no map with odd keys");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_file_is_documented() {
        fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
            if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
                for (name, field) in properties {
                    // The words of a tagged choice carry their text one level up.
                    let tagged = properties.len() == 1 && schema.get("description").is_some();
                    if field.get("description").is_none() && !tagged {
                        missing.push(format!("{path}.{name}"));
                    }
                }
            }
            match schema {
                serde_json::Value::Object(map) => {
                    map.iter().for_each(|(k, v)| walk(&format!("{path}/{k}"), v, missing));
                }
                serde_json::Value::Array(all) => all.iter().for_each(|v| walk(path, v, missing)),
                _ => {}
            }
        }
        let mut missing = Vec::new();
        for kind in FileKind::ALL {
            walk(kind.name(), &kind.schema(), &mut missing);
        }
        assert_eq!(missing, Vec::<String>::new());
    }
}
