//! The compose file: what it mounts exists, and what it runs is in order.

use std::fs;
use std::path::{Path, PathBuf};

use ringfleet::scenario::compile::{self, Input};

use crate::scenarios::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Host paths of the compose file's bind mounts, and where they go.
fn mounts(compose: &str) -> Vec<(&str, &str)> {
    let lines = compose.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let mounts = lines.filter(|line| line.starts_with('.')).map(|line| line.split(':').collect::<Vec<_>>());
    mounts.map(|parts| (parts[0], parts[1])).collect()
}

#[test]
fn the_compose_file_mounts_what_is_there() {
    let compose = text("docker/compose.yaml");
    let mounts = mounts(&compose);
    assert_eq!(mounts.len(), 4, "{mounts:?}");
    for (host, _) in &mounts {
        assert!(root().join("docker").join(host).is_dir(), "{host}");
    }
    let dashboards = mounts.iter().find(|(host, _)| *host == "../dashboards").expect("mounted").1;
    let provider = text("dashboards/provisioning/dashboards/ringfleet.yaml");
    assert!(provider.contains(&format!("path: {dashboards}\n")), "Grafana looks for dashboards elsewhere");
    for name in ["INFLUX_URL", "INFLUX_DATABASE", "INFLUX_TOKEN"] {
        assert!(text("dashboards/provisioning/datasources/influxdb.yaml").contains(&format!("${{{name}}}")), "{name}");
        assert!(compose.contains(&format!("{name}: ")), "{name}");
    }
}

#[test]
fn what_the_image_is_built_from_is_there_and_not_ignored() {
    let ignore = text("docker/Dockerfile.dockerignore");
    for line in text("docker/Dockerfile").lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for source in &words[1..words.len() - 1] {
            assert!(root().join(source).exists(), "{line}");
            assert!(ignore.lines().any(|kept| kept == format!("!{source}")), "{source} is ignored");
        }
    }
}

#[test]
fn the_run_of_the_compose_file_compiles_against_its_lab() {
    let compose = text("docker/compose.yaml");
    let path = root().join("scenarios/outbound-dial.yaml");
    assert!(
        compose.contains("/usr/share/ringfleet/scenarios/outbound-dial.yaml") && compose.contains("/targets/lab.yaml")
    );
    let target: PathBuf = root().join("docker/targets/lab.yaml");
    let read = |path: &Path| fs::read_to_string(path);
    let input = Input {
        path: &path,
        text: &fs::read_to_string(&path).expect("readable"),
        target: target.to_str(),
        set: &[],
        env: &|_| Some("x".to_owned()),
        read: &read,
    };
    let compiled = compile::scenario(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let server = &compiled.plan.actors[0].target.server;
    let address = format!("{}:{}", server.host, server.port.unwrap_or(5060));
    assert!(compose.contains(&format!("--listen, \"{address}\"")), "the lab listens elsewhere than {address}");
}
