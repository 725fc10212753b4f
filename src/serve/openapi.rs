//! The OpenAPI 3.1 document of the API. Its schemas come from the types that the answers are written from.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

use super::api::{Failures, IncidentAnswer, Incidents, Lines, Refusal, Upcoming};
use super::view::Status;

/// A path of the API and what it answers with.
struct Answer {
    path: &'static str,
    summary: &'static str,
    parameters: Value,
    schema: fn(&mut SchemaGenerator) -> Value,
}

fn schema<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn answers() -> Vec<Answer> {
    let state = json!([{ "name": "state", "in": "query", "required": false,
        "description": "Only lines in this state.",
        "schema": { "type": "string", "enum": ["failing", "interrupted", "unknown", "ok"] } }]);
    let id = json!([{ "name": "id", "in": "path", "required": true, "description": "Its id.",
        "schema": { "type": "string" } }]);
    let none = || json!([]);
    vec![
        Answer {
            path: "/api/v1/status",
            summary: "The watch as a whole",
            parameters: none(),
            schema: schema::<Status>,
        },
        Answer { path: "/api/v1/lines", summary: "Lines and agents now", parameters: state, schema: schema::<Lines> },
        Answer {
            path: "/api/v1/failures",
            summary: "The last calls that failed, the latest first",
            parameters: none(),
            schema: schema::<Failures>,
        },
        Answer {
            path: "/api/v1/incidents",
            summary: "Incidents that are open, and those that closed last",
            parameters: none(),
            schema: schema::<Incidents>,
        },
        Answer {
            path: "/api/v1/incidents/{id}",
            summary: "One incident",
            parameters: id,
            schema: schema::<IncidentAnswer>,
        },
        Answer {
            path: "/api/v1/upcoming",
            summary: "What is called next, the soonest first",
            parameters: none(),
            schema: schema::<Upcoming>,
        },
    ]
}

/// The document.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let refusal = schema::<Refusal>(&mut generator);
    let mut paths = serde_json::Map::new();
    for Answer { path, summary, parameters, schema } in answers() {
        let refused =
            |why: &str| json!({ "description": why, "content": { "application/json": { "schema": refusal } } });
        let mut responses = json!({
            "200": { "description": summary,
                     "content": { "application/json": { "schema": schema(&mut generator) } } },
            "401": refused("The token is asked for, or another was shown"),
            "421": refused("The request names another machine"),
        });
        match path {
            "/api/v1/incidents/{id}" => responses["404"] = refused("There is none of this id, or no longer"),
            "/api/v1/lines" => responses["400"] = refused("There is no such state"),
            _ => {}
        }
        let name = path.trim_start_matches("/api/v1/").replace("s/{id}", "");
        paths.insert(
            path.to_owned(),
            json!({ "get": { "operationId": name, "summary": summary, "parameters": parameters, "responses": responses } }),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ringfleet watch",
            "version": "1",
            "summary": "What a watch sees now. Reading places no call.",
            "description": "Times are RFC 3339 in UTC; null is unknown. Fields may be added within version 1; none is \
                            removed or changes its meaning.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer",
                                            "description": "`page: { token: … }` of the watch file." } },
            "schemas": generator.take_definitions(true),
        },
    })
}
