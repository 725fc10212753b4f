//! The compose file: what it mounts exists, and what it runs is in order.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringfleet::scenario::compile::{self, Input};

use crate::cli::{Desk, records};
use crate::scenarios::root;
use crate::watch::get;
use crate::watching::Watching;

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
    assert_eq!(mounts.len(), 7, "{mounts:?}");
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

/// Instructions of the Dockerfile: continued lines are one, comments none.
fn instructions(text: &str) -> Vec<(String, String)> {
    let text: String =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    let text = text.replace("\\\n", " ");
    let words = text.lines().filter_map(|line| line.split_once(' '));
    words.map(|(word, rest)| (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

#[test]
fn every_target_of_the_manifest_is_copied_before_it_is_built() {
    let (manifest, dockerfile) = (text("Cargo.toml"), text("docker/Dockerfile"));
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let copied: Vec<String> = instructions(&dockerfile)
        .into_iter()
        .take_while(|(word, rest)| word != "RUN" || !rest.starts_with("cargo build"))
        .filter(|(word, _)| word == "COPY")
        .flat_map(|(_, rest)| rest.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&str> =
        paths.filter(|path| *path != "src/main.rs" && !copied.iter().any(|of| path.starts_with(of.as_str()))).collect();
    assert_eq!(missing, [""; 0], "cargo refuses a manifest with a target that is not there");
}

/// The rules of hadolint that an image like this can break.
#[test]
fn the_image_is_built_by_the_rules() {
    let dockerfile = text("docker/Dockerfile");
    let instructions = instructions(&dockerfile);
    let of = |word: &'static str| instructions.iter().filter(move |(is, _)| is == word).map(|(_, rest)| rest.as_str());
    let mut stages: Vec<&str> = Vec::new();
    for from in of("FROM") {
        let (image, name) = from.split_once(" AS ").unwrap_or_else(|| panic!("{from}: a stage without a name"));
        let tagged = image.split_once(':').is_some_and(|(_, tag)| tag != "latest");
        assert!(stages.contains(&image) || tagged, "{from}: which version? (DL3006, DL3007)");
        stages.push(name);
    }
    assert_eq!(stages, ["build", "base", "watch", "ringfleet"], "the last one is built where none is named");
    for run in of("RUN").filter(|run| run.contains("apt-get")) {
        assert!(
            run.starts_with("apt-get update && apt-get install -y --no-install-recommends "),
            "{run} (DL3009, DL3014, DL3015)"
        );
        assert!(run.ends_with("&& rm -rf /var/lib/apt/lists/*"), "{run} (DL3009)");
    }
    assert_eq!(of("USER").collect::<Vec<_>>(), ["10001:10001"], "by number and not root (DL3002)");
    assert_eq!(of("ADD").count() + of("MAINTAINER").count(), 0, "(DL3020, DL4000)");
    assert!(of("WORKDIR").all(|folder| folder.starts_with('/')), "(DL3000)");
    for command in of("CMD").chain(of("ENTRYPOINT")) {
        assert!(serde_json::from_str::<Vec<String>>(command).is_ok(), "{command}: not in the form of JSON (DL3025)");
    }
    assert!(of("HEALTHCHECK").count() == 1 && !dockerfile.contains("sudo"), "(DL3004, DL3012)");
}

#[test]
fn what_runs_in_containers_has_given_up_what_it_does_not_need() {
    let compose = text("docker/compose.yaml");
    for word in ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"] {
        assert_eq!(compose.matches(word).count(), 1, "{word}: in `confined`");
    }
    let services = compose.matches("image: ringfleet").count();
    assert_eq!((services, compose.matches("<<: *confined").count()), (3, 3));
    assert!(!compose.contains("privileged:"));
    for port in compose.lines().filter_map(|line| line.trim().strip_prefix("ports: ")) {
        assert!(port.starts_with("[\"127.0.0.1:"), "{port} is open to others");
    }
    let kubernetes = text("docker/kubernetes/ringfleet.yaml");
    for words in [
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "capabilities: { drop: [ALL] }",
        "seccompProfile: { type: RuntimeDefault }",
        "automountServiceAccountToken: false",
        "strategy: { type: Recreate }",
        "policyTypes: [Ingress, Egress]",
    ] {
        assert!(kubernetes.contains(words), "{words}");
    }
    let unit = text("docker/systemd/ringfleet-watch.service");
    for words in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n"] {
        assert!(unit.contains(words), "{words}");
    }
    assert!(unit.contains("RestartPreventExitStatus=2\n"), "a bad file is not started again and again");
}

/// Files of the ConfigMap.
fn of_config_map(text: &str) -> Vec<(String, String)> {
    let data = text.split("kind: ConfigMap").nth(1).and_then(|rest| rest.split("\n---").next()).expect("a ConfigMap");
    let mut files: Vec<(String, String)> = Vec::new();
    for line in data.split("\ndata:\n").nth(1).expect("its data").lines() {
        match (line.strip_prefix("  ").and_then(|rest| rest.strip_suffix(": |")), line.strip_prefix("    ")) {
            (Some(name), _) => files.push((name.to_owned(), String::new())),
            (None, rest) => {
                let file = files.last_mut().expect("a name before its lines");
                file.1 += rest.unwrap_or("");
                file.1.push('\n');
            }
        }
    }
    files
}

#[test]
fn the_watches_of_compose_and_kubernetes_compile() {
    let watch = |path: &Path, text: &str, read: &dyn Fn(&Path) -> std::io::Result<String>| {
        let env = |_: &str| Some("a-secret-of-many-letters".to_owned());
        let input = Input { path, text, target: None, set: &[], env: &env, read };
        compile::watch(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    };
    let path = root().join("docker/watch/watch.yaml");
    let of_compose = watch(&path, &text("docker/watch/watch.yaml"), &|path| fs::read_to_string(path));
    assert!(of_compose.influx.is_some() && of_compose.page.is_some_and(|page| page.listen.port() == 8410));
    let files = of_config_map(&text("docker/kubernetes/ringfleet.yaml"));
    let find = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let found = files.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone());
        found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    let of_cluster = watch(Path::new("watch.yaml"), &files[0].1, &find);
    assert_eq!((of_cluster.checks.len(), of_cluster.checks[0].lines().len()), (1, 4));
}

/// No engine runs here: the command lines of the containers do, with addresses of this machine.
#[test]
fn the_command_lines_of_the_containers_run_as_they_stand() {
    let desk = Desk::new();
    let compose = text("docker/compose.yaml");
    assert!(compose.contains("command: [lab, --listen, \"172.31.60.10:5060\"]"));
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    let target = text("docker/targets/lab.yaml").replace("172.31.60.10:5060", &lab.address.to_string());
    let watch = text("docker/watch/watch.yaml").replace("0.0.0.0:8410", "127.0.0.1:0");
    let without_sinks: String = watch
        .lines()
        .filter(|line| !line.contains("influxdb") && *line != "sinks:")
        .map(|line| format!("{line}\n"))
        .collect();
    desk.write("targets/lab.yaml", &target);
    desk.write("watch/watch.yaml", &without_sinks);
    desk.write("watch/call.yaml", &text("docker/watch/call.yaml"));
    let secrets = [("PAGE_TOKEN", "a-token-of-many-letters")];
    let once = ["watch", "watch/watch.yaml", "--once", "--out", "out"];
    desk.command(&once).envs(secrets).output().expect("it runs");
    let records = records(&desk.path("out"));
    // How well they are heard is up to this machine.
    let other: Vec<_> = records.iter().filter(|record| record.code != Some(200)).map(|record| record.class).collect();
    assert!(records.len() >= 7 && other.is_empty(), "{} calls, {other:?}", records.len());

    let mut command = desk.command(&["watch", "watch/watch.yaml"]);
    let mut watching = command.envs(secrets).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(watching.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let page =
        lines.find_map(|line| Some(line.split_once("page at http://127.0.0.1:")?.1.trim_end_matches('/').to_owned()));
    let port = page.expect("it says where its page is");
    let dockerfile = text("docker/Dockerfile");
    let check = instructions(&dockerfile).into_iter().find(|(word, _)| word == "HEALTHCHECK").expect("there").1;
    let check: Vec<String> = serde_json::from_str(check.split_once("CMD ").expect("a command").1).expect("JSON");
    let healthy = |port: &str| {
        let script = check[2].replace("8410", port);
        let done = Command::new(&check[0]).args([&check[1], &script]).stderr(Stdio::null()).status().expect("bash");
        done.success()
    };
    assert!(healthy(&port), "a watch that is alive is healthy");
    let _ = watching.kill();
    let _ = watching.wait();
    assert!(!healthy(&port), "one that is gone is not");
}

/// The command line of the systemd unit, with the files of the ConfigMap in /etc/ringfleet: what the pod runs, too.
#[test]
fn the_command_lines_of_the_systemd_unit_and_of_the_pod_run_as_they_stand() {
    let desk = Desk::new();
    let (unit, kubernetes) = (text("docker/systemd/ringfleet-watch.service"), text("docker/kubernetes/ringfleet.yaml"));
    let of_unit = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).expect("it is there");
    let words: Vec<&str> = of_unit("ExecStart=").split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/ringfleet");
    assert!(kubernetes.contains(&format!("args: [{}]\n", words[1..].join(", "))), "the pod runs something else");
    assert!(kubernetes.contains("mountPath: /etc/ringfleet,"));
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    for (name, text) in of_config_map(&kubernetes) {
        let here = text.replace("192.0.2.10:5060", &lab.address.to_string()).replace("0.0.0.0:8410", "127.0.0.1:0");
        let own = here.lines().filter(|line| !line.contains("influxdb") && *line != "sinks:");
        let own: String = own.map(|line| line.replace("every: 60s", "every: 40s") + "\n").collect();
        desk.write(&format!("etc/{name}"), &own);
    }
    let file = words[2].replace("/etc/ringfleet/", "etc/");
    let mut command = desk.command(&[words[1], &file]);
    command.env("PAGE_TOKEN", "a-token-of-many-letters");
    let watching = Watching::of(command, Duration::from_secs(90));
    let page = watching.wait_for("page at http://");
    let page = page.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    // The probes of the pod ask there.
    assert!(kubernetes.contains("httpGet: { path: /healthz, port: page }"));
    let (head, body) = get(page, "/healthz");
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok\n", "{head}{body}");
    let call = watching.wait_for("-echo-000001");
    assert!(
        call.contains("  ok 200") || call.contains("  media."),
        "how well it is heard is up to this machine: {call}"
    );
    assert!(of_unit("ExecReload=").starts_with("/bin/kill -HUP "));
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 1, lines: 4)");
    // SIGTERM is how both end it.
    assert_eq!(watching.end(), Some(0));
}
