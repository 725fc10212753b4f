//! What the fields of a record mean, for `ringfleet explain`: the comments of [`CallRecord`](super::CallRecord), of which there
//! is no second text.

/// The meaning of a field, with its unit; `None` where there is no such field, or its name says all there is.
pub fn field(name: &str) -> Option<String> {
    let text = include_str!("call_record.rs");
    let fields = text.split_once("pub struct CallRecord {")?.1.split_once("\n}")?.0;
    let mut lines = fields.lines().map(str::trim);
    let mut meaning = Vec::new();
    let known = lines.any(|line| {
        if let Some(comment) = line.strip_prefix("///") {
            meaning.push(comment.trim());
            return false;
        }
        let Some(found) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) else { return false };
        if found.0 != name {
            meaning.clear();
        }
        found.0 == name
    });
    if !known || meaning.is_empty() {
        return None;
    }
    let unit = if name.ends_with("_ms") { " (ms)" } else { "" };
    Some(format!("{name}{unit}\n  {}\n\nA field of the record of a call, in calls.jsonl", meaning.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_record_is_explained_with_its_unit() {
        let expected = "ice_check_ms (ms)\n  From the other side's description to our first check of ICE.\n\nA field of the record of \
            a call, in calls.jsonl";
        assert_eq!(field("ice_check_ms").as_deref(), Some(expected));
        let gathered = field("ice_gathered_ms").expect("known");
        assert!(
            gathered.contains("known; `null` where media was not WebRTC's, as with all of ICE and DTLS."),
            "{gathered}"
        );
        assert!(field("recovery_from").is_some_and(|text| text.starts_with("recovery_from\n  What befell an agent")));
        assert_eq!((field("call_id"), field("banana"), field("fn is_failed")), (None, None, None));
    }
}
