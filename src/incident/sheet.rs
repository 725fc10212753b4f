//! The incident sheet: what a carrier or a platform's support asks for before it looks at anything. A field that is not known
//! is said to be missing, so that whoever sends the sheet can add it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::Incident;
use crate::record::{CallRecord, Origin};
use crate::units::masked;

/// Whose line it is and where one logs in: `company` and `environment` of a target file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the sheet, under the same names")]
pub struct About {
    pub company: Option<String>,
    pub tax_id: Option<String>,
    pub environment: Option<String>,
    pub login_url: Option<String>,
}

impl About {
    /// From the labels of a target.
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| labels.get(name).cloned();
        Self {
            company: get("company"),
            tax_id: get("tax_id"),
            environment: get("environment"),
            login_url: get("login_url"),
        }
    }
}

/// Whether telephone numbers stand in the sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As they are.
    Shown,
    /// All but their last two digits hidden.
    Masked,
}

/// The sheet. `null` in JSON is missing; `missing` names all of those.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are published in the sheet, and its text says what each is")]
pub struct Sheet {
    pub company: Option<String>,
    pub tax_id: Option<String>,
    pub environment: Option<String>,
    pub login_url: Option<String>,
    pub incident: Option<String>,
    pub place: Option<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub call_id: Option<String>,
    pub platform_call_id: Option<String>,
    pub sip_call_ids: Vec<String>,
    pub agent: Option<String>,
    pub unit: Option<String>,
    pub site: Option<String>,
    pub hotline: Option<String>,
    pub route: Option<String>,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub gateway: Option<String>,
    pub next_hop: Option<String>,
    pub class: Option<String>,
    pub meaning: Option<String>,
    pub code: Option<u16>,
    /// Whether the code came over the wire or was concluded here.
    pub code_origin: Option<Origin>,
    /// `REGISTER` where no INVITE was sent: the code and the reason are those of the registration before it.
    pub code_of: Option<String>,
    pub reason: Option<String>,
    pub q850: Option<u16>,
    pub app_code: Option<String>,
    pub warning: Option<String>,
    /// As in the record: why ICE or DTLS came to nothing, or what came could not be heard.
    pub media_fault: Option<String>,
    /// As in the record: what is wrong with STUN and TURN servers.
    pub ice_server_fault: Option<String>,
    pub failed: Option<u64>,
    pub tested: Option<u64>,
    pub agents_failing: Option<u32>,
    pub agents_tested: Option<u32>,
    pub reproduced: Option<bool>,
    pub evidence: Vec<String>,
    /// Names of the fields above that support asks for and that are not known.
    pub missing: Vec<String>,
}

impl Sheet {
    /// The sheet of one call.
    pub fn of_call(record: &CallRecord, about: &About, evidence: Vec<String>, numbers: Numbers) -> Self {
        let number = |text: &Option<String>| match numbers {
            Numbers::Shown => text.clone(),
            Numbers::Masked => text.as_deref().map(masked),
        };
        // A name is no number.
        let seat = |text: &Option<String>| match text {
            Some(text) if text.bytes().any(|byte| byte.is_ascii_digit()) => number(&Some(text.clone())),
            other => other.clone(),
        };
        let sheet = Self {
            company: about.company.clone(),
            tax_id: about.tax_id.clone(),
            environment: about.environment.clone(),
            login_url: about.login_url.clone(),
            started_at: record.started_at,
            ended_at: Some(record.ended_at),
            from: number(&record.from),
            to: number(&record.to),
            call_id: Some(record.call_id.clone()),
            platform_call_id: record.platform_call_id.clone(),
            sip_call_ids: record.sip_call_ids.clone(),
            agent: seat(if record.agent.is_some() { &record.agent } else { &record.account }),
            unit: record.unit.clone(),
            site: record.site.clone(),
            hotline: record.hotline.clone(),
            route: record.route.clone(),
            trunk: record.trunk.clone(),
            carrier: record.carrier.clone(),
            gateway: record.gateway.clone(),
            next_hop: record.next_hop.clone(),
            class: Some(record.class.name().to_owned()),
            meaning: Some(record.class.meaning().to_owned()),
            code: record.code,
            code_origin: record.code_origin,
            code_of: record.is_code_of_registration().then(|| "REGISTER".to_owned()),
            reason: record.reason.clone(),
            q850: record.q850,
            app_code: record.app_code.clone(),
            warning: record.warning.clone(),
            media_fault: record.media_fault.clone(),
            ice_server_fault: record.ice_server_fault.clone(),
            failed: Some(u64::from(record.is_failed())),
            tested: Some(1),
            reproduced: match record.retry {
                crate::record::Retry::None => None,
                crate::record::Retry::Transient => Some(false),
                crate::record::Retry::Reproduced => Some(true),
            },
            evidence,
            ..Self::default()
        };
        sheet.with_missing()
    }

    /// How much of what names a call at the other end a record has, 0–3: its Call-ID, both numbers. The call of an incident
    /// that has most is its example.
    pub fn names_in(record: &CallRecord) -> usize {
        let known = [!record.sip_call_ids.is_empty(), record.from.is_some(), record.to.is_some()];
        known.into_iter().filter(|known| *known).count()
    }

    /// The sheet of an incident, with what a record of one of its calls adds.
    pub fn of_incident(
        incident: &Incident,
        call: Option<&CallRecord>,
        about: &About,
        evidence: Vec<String>,
        numbers: Numbers,
    ) -> Self {
        let base = match call {
            Some(record) => Self::of_call(record, about, evidence, numbers),
            None => {
                let About { company, tax_id, environment, login_url } = about.clone();
                let ids = [&incident.first_call, &incident.last_call].map(|call| call.sip_call_id.clone());
                let mut sip_call_ids: Vec<String> = ids.into_iter().flatten().collect();
                sip_call_ids.dedup();
                let code = incident.codes.iter().max_by_key(|(_, times)| *times).map(|(code, _)| *code);
                let call_id = Some(incident.first_call.call_id.clone());
                Self {
                    company,
                    tax_id,
                    environment,
                    login_url,
                    sip_call_ids,
                    code,
                    call_id,
                    evidence,
                    ..Self::default()
                }
            }
        };
        let sheet = Self {
            incident: Some(incident.id.clone()),
            place: Some(incident.place()),
            started_at: Some(incident.since),
            ended_at: Some(incident.closed_at.unwrap_or(incident.last_call.at)),
            unit: incident.unit.clone(),
            class: Some(incident.symptom.name().to_owned()),
            meaning: Some(incident.symptom.meaning().to_owned()),
            failed: Some(incident.failures),
            tested: Some(incident.tested),
            agents_failing: Some(incident.agents_failing),
            agents_tested: Some(incident.agents_tested),
            reproduced: incident.reproduced,
            ..base
        };
        sheet.with_missing()
    }

    /// Names what support asks for and nobody has filled in: the company, its tax id, when, a number or the id of a
    /// record, the environment's name or its login URL, the Call-ID, the route, the code.
    fn with_missing(mut self) -> Self {
        let absent = [
            ("company", self.company.is_none()),
            ("tax_id", self.tax_id.is_none()),
            ("started_at", self.started_at.is_none()),
            ("from", self.from.is_none() && self.platform_call_id.is_none()),
            ("to", self.to.is_none() && self.platform_call_id.is_none()),
            ("environment", self.environment.is_none() && self.login_url.is_none()),
            ("login_url", self.login_url.is_none() && self.environment.is_none()),
            ("sip_call_ids", self.sip_call_ids.is_empty()),
            ("trunk", self.trunk.is_none() && self.route.is_none()),
            ("code", self.code.is_none()),
            ("evidence", self.evidence.is_empty()),
        ];
        self.missing = absent.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name.to_owned()).collect();
        self
    }

    /// The lines of the text: what each field is called and what it holds.
    fn rows(&self) -> Vec<(&'static str, &'static str, Option<String>)> {
        let time = |at: &Option<Timestamp>| at.map(|at| at.to_string());
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
        let of = self.code_of.as_ref().map_or_else(String::new, |of| format!(", to {of}: no INVITE was sent"));
        let code = self.code.map(|code| match self.code_origin {
            Some(Origin::Local) => format!("{code}, concluded here: nothing of the kind came over the wire{of}"),
            _ => format!("{code}{of}"),
        });
        let of = self.code_of.as_ref().map_or_else(String::new, |of| format!(", to {of}"));
        let reason = self.reason.as_ref().map(|reason| format!("{reason}{of}"));
        let calls = self.failed.zip(self.tested).map(|(failed, tested)| format!("{failed} of {tested} failed"));
        let agents =
            self.agents_failing.zip(self.agents_tested).map(|(failing, of)| format!("{failing} of {of} failing"));
        let again = self.reproduced.map(|again| if again { "yes" } else { "no" }.to_owned());
        vec![
            ("company", "Company", self.company.clone()),
            ("tax_id", "Tax id", self.tax_id.clone()),
            ("environment", "Environment", self.environment.clone()),
            ("login_url", "Login URL", self.login_url.clone()),
            ("incident", "Incident", self.incident.clone()),
            ("place", "Place", self.place.clone()),
            ("started_at", "From (time)", time(&self.started_at)),
            ("ended_at", "To (time)", time(&self.ended_at)),
            ("from", "Calling number", self.from.clone()),
            ("to", "Called number", self.to.clone()),
            ("call_id", "Our id", self.call_id.clone()),
            ("platform_call_id", "Id at the platform", self.platform_call_id.clone()),
            ("sip_call_ids", "Call-ID", list(&self.sip_call_ids)),
            ("agent", "Agent", self.agent.clone()),
            ("unit", "Unit", self.unit.clone()),
            ("site", "Site", self.site.clone()),
            ("hotline", "Hotline", self.hotline.clone()),
            ("route", "Route", self.route.clone()),
            ("trunk", "Trunk", self.trunk.clone()),
            ("carrier", "Carrier", self.carrier.clone()),
            ("gateway", "Gateway", self.gateway.clone()),
            ("next_hop", "Sent to", self.next_hop.clone()),
            ("class", "What it showed", self.class.clone()),
            ("meaning", "Meaning", self.meaning.clone()),
            ("code", "SIP code", code),
            ("reason", "Reason", reason),
            ("q850", "Q.850 cause", self.q850.map(|cause| cause.to_string())),
            ("app_code", "Application code", self.app_code.clone()),
            ("warning", "Warning", self.warning.clone()),
            ("media_fault", "Media fault", self.media_fault.clone()),
            ("ice_server_fault", "STUN and TURN", self.ice_server_fault.clone()),
            ("failed", "Calls", calls),
            ("agents_failing", "Agents", agents),
            ("reproduced", "Reproduced", again),
            ("evidence", "Evidence", list(&self.evidence)),
        ]
    }
}

/// Text to paste: a line for each field that is known, and for each that is missing.
impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "INCIDENT SHEET")?;
        for (name, title, value) in self.rows() {
            match value {
                Some(value) => writeln!(f, "{title:20} {value}")?,
                None if self.missing.iter().any(|missing| missing == name) => writeln!(f, "{title:20} (missing)")?,
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::sample_incident;

    fn record() -> CallRecord {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.from, record.to) = (Some("1001".into()), Some("0800123456".into()));
        (record.code, record.code_origin) = (Some(503), Some(Origin::Received));
        (record.reason, record.q850) = (Some("Service Unavailable".into()), Some(38));
        (record.trunk, record.agent) = (Some("cht".into()), Some("1001".into()));
        record.sip_call_ids = vec!["abc@probe".into()];
        record
    }

    fn about() -> About {
        About { company: Some("Example Ltd".into()), tax_id: Some("00000000".into()), ..About::default() }
    }

    #[test]
    fn a_missing_field_is_marked_missing() {
        let sheet = Sheet::of_call(&record(), &about(), Vec::new(), Numbers::Shown);
        assert_eq!(sheet.missing, ["environment", "login_url", "evidence"]);
        let text = sheet.to_string();
        for line in [
            "Company              Example Ltd\n",
            "Tax id               00000000\n",
            "Login URL            (missing)\n",
            "Called number        0800123456\n",
            "Call-ID              abc@probe\n",
            "SIP code             503\n",
            "Q.850 cause          38\n",
            "Evidence             (missing)\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("Incident  "), "what nobody asks for and is not known has no line: {text}");
    }

    #[test]
    fn an_environment_by_name_or_by_url_is_enough() {
        let about = About { login_url: Some("https://cc.example".into()), ..about() };
        let sheet = Sheet::of_call(&record(), &about, vec!["evidence/c-1/ladder.txt".into()], Numbers::Shown);
        assert_eq!(sheet.missing, Vec::<String>::new());
        assert!(!sheet.to_string().contains("(missing)"));
    }

    #[test]
    fn numbers_are_masked_where_asked() {
        let sheet = Sheet::of_call(&record(), &about(), Vec::new(), Numbers::Masked);
        let text = format!("{sheet}{}", serde_json::to_string(&sheet).expect("serialises"));
        assert!(text.contains("********56") && text.contains("**01"), "{text}");
        assert!(!text.contains("0800123456") && !text.contains("\"1001\""), "{text}");
    }

    #[test]
    fn the_code_of_a_registration_is_not_shown_as_that_of_a_call_which_was_never_sent() {
        let refused = Some("turn:relay.test refused: 437 Mismatched allocation".to_owned());
        let mut record = CallRecord { from: None, to: None, srd_ms: None, setup_ms: None, ..record() };
        (record.code, record.reason, record.agent) = (Some(200), Some("OK".into()), None);
        (record.account, record.media_fault, record.ice_server_fault) = (Some("1026".into()), refused.clone(), refused);
        let sheet = Sheet::of_call(&record, &about(), Vec::new(), Numbers::Shown);
        assert_eq!((sheet.code, sheet.code_of.as_deref()), (Some(200), Some("REGISTER")));
        let text = sheet.to_string();
        for line in [
            "Agent                1026\n",
            "SIP code             200, to REGISTER: no INVITE was sent\n",
            "Reason               OK, to REGISTER\n",
            "Media fault          turn:relay.test refused: 437 Mismatched allocation\n",
            "STUN and TURN        turn:relay.test refused: 437 Mismatched allocation\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let sent = CallRecord { invited: true, ..record };
        assert_eq!(Sheet::of_call(&sent, &about(), Vec::new(), Numbers::Shown).code_of, None);
    }

    #[test]
    fn a_code_that_was_concluded_here_is_not_shown_as_received() {
        let record = CallRecord { code: Some(408), code_origin: Some(Origin::Local), ..record() };
        let text = Sheet::of_call(&record, &about(), Vec::new(), Numbers::Shown).to_string();
        assert!(text.contains("SIP code             408, concluded here"), "{text}");
    }

    #[test]
    fn the_sheet_of_an_incident_has_its_counts_and_place() {
        let sheet = Sheet::of_incident(&sample_incident(), None, &about(), Vec::new(), Numbers::Shown);
        let text = sheet.to_string();
        for line in [
            "Incident             inc-1\n",
            "Place                trunk cht\n",
            "From (time)          2026-03-01T10:20:30Z\n",
            "Calls                12 of 13 failed\n",
            "Agents               5 of 6 failing\n",
            "Reproduced           yes\n",
            "Call-ID              7@probe\n",
            "SIP code             503\n",
            "Calling number       (missing)\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let with_call = Sheet::of_incident(&sample_incident(), Some(&record()), &about(), Vec::new(), Numbers::Shown);
        assert_eq!((with_call.to.as_deref(), with_call.failed), (Some("0800123456"), Some(12)));
        let again: Sheet = serde_json::from_str(&serde_json::to_string(&with_call).expect("serialises")).expect("JSON");
        assert_eq!(again, with_call);
    }
}
