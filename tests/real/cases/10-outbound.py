#!/usr/bin/env python3
"""The README's scenario as it stands, against a real PBX: registered, challenged, relayed, answered and heard."""
from check import Checks, figure, passes, run

checks = Checks()
finished = run("outbound-dial")
if passes(checks, finished):
    record, = finished.calls
    for name, wanted in (("class", "ok"), ("code", 200), ("code_origin", "received"), ("audio", "two_way"),
                         ("hangup_by", "us"), ("role", "caller"), ("account", "1001"), ("to", "2000")):
        checks.equal(record[name], wanted, name)
    checks.near(record["setup_ms"], 200, 50, "setup_ms")
    checks.near(record["duration_ms"], 10_000, 50, "duration_ms")
    checks.near(record["tx_packets"], 500, 5, "tx_packets")
    checks.near(record["rx_packets"], 500, 10, "rx_packets")
    checks.equal(record["loss_pct"], 0, "loss_pct")
    for name in ("rrd_ms", "srd_ms", "sdd_ms", "rtt_ms", "jitter_ms", "mos_lq", "mos_cq"):
        checks.that(record[name] is not None, f"{name} is unknown")
    # One dialog for the registration, one for the call; none is named after a peer.
    checks.that(record["sip_call_ids"], "sip_call_ids is empty")
    for name in ("report.html", "junit.xml", "windows.jsonl"):
        checks.that(finished.read(name), f"{name} is missing")
    figure(f"setup {record['setup_ms']:.0f} ms, RTT {record['rtt_ms']:.2f} ms, MOS-CQ {record['mos_cq']:.2f}, "
           f"audio {record['audio']}")
checks.end()
