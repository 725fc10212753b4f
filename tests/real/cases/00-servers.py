#!/usr/bin/env python3
"""The servers themselves, called by a phone that is not ours: when this fails, look there and not at Ringfleet.

Robots keep their programmed delay within 30 ms (SIPp's timer runs in steps of 5 ms, Kamailio's in steps of 5 ms; the
digest round trip adds some 2 ms); the slack is for a busy machine. Cases allow Ringfleet 50 ms around the delay.
"""
import os
import threading
import time
from collections import Counter

from check import Checks
from phone import Phone

SLACK_MS = 30
SERVER = ("127.0.0.1", int(os.environ["SIP_PORT"]))
PASSWORD = os.environ["PROBE_PASSWORD"]
checks = Checks()


def phone(user="1001", password=PASSWORD):
    return Phone(SERVER, os.environ["SIP_DOMAIN"], user, password)


def dial(number, **options):
    caller = phone()
    try:
        return caller.dial(number, **options)
    finally:
        caller.close()


def refusal(number, code, after, cause):
    got = dial(number)
    checks.equal(got.code, code, f"{number}: code")
    checks.near(got.final_ms, after, SLACK_MS, f"{number}: ms to the refusal")
    checks.that(got.cause is None if cause is None else f"cause={cause}" in (got.cause or ""),
                f"{number}: Reason is {got.cause}, wanted cause {cause}")
    return got


def refusals():
    causes = {404: 1, 410: 22, 480: 20, 484: 28, 486: 17, 502: 27, 503: 41, 603: 21}
    for code in (403, 404, 408, 410, 480, 484, 486, 487, 488, 500, 502, 503, 603):
        refusal(f"3{code}", code, 0, causes.get(code))
    refusal("3534", 503, 0, 34)
    refusal("3302", 302, 0, None)
    refusal("34861500", 486, 1500, 17)
    refusal("36030400", 603, 400, 21)
    refusal("9999", 404, 0, None)
    rings = refusal("3481", 480, 2000, 19)
    checks.that(rings.first(180) is not None, "3481: no 180")


def answers():
    for number, after in (("2000", 200), ("2001", 0), ("2003", 3000), ("9002000", 200), ("90017", 0)):
        got = dial(number)
        checks.equal(got.code, 200, f"{number}: code")
        checks.near(got.answered_ms, after, SLACK_MS, f"{number}: ms to the answer")
        checks.near(got.echoed, got.sent, 2, f"{number}: packets echoed")
    got = dial("2010")
    checks.that(got.silent >= 40 and got.silent == got.received, f"2010: {got.silent} silent of {got.received} packets")
    checks.equal(dial("2011").received, 0, "2011: packets received")
    got = dial("2183")
    checks.near(got.early_received, 100, 10, "2183: packets of early media")
    checks.equal(got.code, 486, "2183: code")
    checks.near(got.final_ms, 2000, SLACK_MS, "2183: ms to the refusal")


def endings():
    for number, after, cause in (("2020", 3000, 16), ("2021", 500, 41)):
        got = dial(number, talk=10)
        checks.equal(got.ended_by, "far_end", f"{number}: ended by")
        checks.near(got.bye_ms - got.answered_ms, after, SLACK_MS, f"{number}: ms from the answer to the BYE")
        checks.that(f"cause={cause}" in (got.bye_cause or ""), f"{number}: Reason of the BYE is {got.bye_cause}")
    got = dial("2100", cancel_after=1)
    checks.equal(got.code, 487, "2100: code after CANCEL")
    got = dial("2999", within=3)
    checks.equal(got.responses, [], "2999: responses")


def trunk():
    def burst(calls, talk):
        got = []
        threads = [threading.Thread(target=lambda n=n: got.append(dial(f"900{n}", talk=talk))) for n in range(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Counter((call.code, call.reason) for call in got)

    refused = (503, "call attempt had over the max concurrent calls")
    checks.equal(burst(30, 1.5), Counter({(200, "OK"): 5, refused: 25}), "a burst of 30 on a trunk of 5")
    time.sleep(0.5)
    checks.equal(burst(6, 0.5), Counter({(200, "OK"): 5, refused: 1}), "six calls after the five were freed")


def licence():
    phones = [phone(str(user)) for user in range(1501, 1508)]
    ok, refused = (200, "OK"), (403, "license limit exceeded")
    checks.equal([p.register() for p in phones[:6]], [ok] * 5 + [refused], "six devices on a licence of five")
    checks.equal(phones[0].register(), ok, "a refresh")
    checks.equal(phones[1].register(expires=0), ok, "an un-REGISTER")
    checks.equal([p.register() for p in phones[5:]], [ok, refused], "the freed place, and one more")
    for p in phones:
        p.register(expires=0)
        p.close()


def credentials():
    checks.equal(phone(password="wrong").register()[0], 401, "a wrong password: REGISTER")
    checks.equal(phone(password="wrong").dial("2000").code, 407, "a wrong password: INVITE")
    checks.equal(phone("1101", f"{PASSWORD}-1101").register()[0], 200, "an account with a password of its own")
    checks.equal(dial("1020").code, 480, "a user who is not registered")


for part in (refusals, answers, endings, trunk, licence, credentials):
    part()
checks.end()
