//! Integration tests: one binary, a file per subject.

mod alerts;
mod bad_files;
mod check_output;
mod cli;
mod cli_labs;
mod cli_loads;
mod dashboards;
mod disk;
mod dns;
mod docker;
mod far_ends;
mod figures_page;
mod flows;
mod fuzz_corpus;
mod garbage_files;
mod hostile;
mod hostile_callers;
mod hostile_servers;
mod influx;
mod judge_truth_small;
mod layers;
mod packages;
mod pair;
mod pbx_desk;
mod pbx_faults;
mod pbx_licences;
mod pbx_limits;
mod pbx_registrar;
mod random_calls;
mod random_limits;
mod random_loads;
mod registrar_peer;
mod scenarios;
mod shared_media;
mod side;
mod sip_calls;
mod sip_extensions;
mod sip_peer;
mod sip_trickle;
mod tls;
mod tls_calls;
mod torture;
mod virtual_agents;
mod virtual_dtmf;
mod virtual_ends;
mod virtual_faults;
mod virtual_group;
mod virtual_guards;
mod virtual_hops;
mod virtual_keep_alive;
mod virtual_lab;
mod virtual_large;
mod virtual_limits;
mod virtual_loads;
mod virtual_media;
mod virtual_nat;
mod virtual_net;
mod virtual_rates;
mod virtual_raw;
mod virtual_registrations;
mod virtual_relay;
mod virtual_scenarios;
mod virtual_search_faults;
mod virtual_sessions;
mod virtual_shared_media;
mod virtual_side;
mod virtual_srtp;
mod virtual_starved;
mod virtual_trickle;
mod virtual_video;
mod virtual_webrtc;
mod virtual_websocket;
mod watch;
mod watch_faults;
mod watching;
mod websocket;
mod websocket_servers;
mod wss_certificates;

#[path = "../support/influx_front/mod.rs"]
mod influx_front;

#[path = "../support/judge_truth/mod.rs"]
mod judge_truth;

#[path = "../support/fuzz_entries/mod.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets have it as a library")]
mod fuzz_entries;

#[path = "../support/torture_messages.rs"]
#[expect(unreachable_pub, reason = "tests/interop has it as a library")]
mod torture_messages;
