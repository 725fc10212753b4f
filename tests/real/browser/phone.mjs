// A web phone: JsSIP in Chromium. Reads one command a line and prints what comes of it, one JSON a line, with its `id`.
//   node phone.mjs <COMMANDS
// {id, do: "call" | "answer", url, user, domain, password, target, seconds, source, within, video, dtmf}: registers over the
// WebSocket at `url`, calls `target` or waits for a call, and hangs up after `seconds` unless the far end does. What it sends is
// `beep`, the tone of Chromium's fake microphone, or `echo`, what it hears; with `video` the picture of its fake camera as well.
// A second into the call it presses the keys of `dtmf`.
import { createInterface } from "node:readline";
import { atLoopback, open } from "./chromium.mjs";

const { browser, url: page, close } = await open();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// What runs in the page: one call, and what is known of it.
async function phone(command) {
  const { url, user, domain, password, target, seconds, source, within, video, dtmf } = command;
  const found = { events: [], stats: {}, sdp: {} };
  const started = performance.now();
  const note = (event, cause) => found.events.push([event, Math.round(performance.now() - started), cause ?? null]);
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(url)], uri: `sip:${user}@${domain}`, password, register_expires: 120,
    session_timers: false,
  });
  const audio = new AudioContext();
  await audio.resume();
  const echo = audio.createMediaStreamDestination();
  const devices = await navigator.mediaDevices.getUserMedia({ audio: true, video: video && { width: 640, height: 480 } });
  const sound = source === "echo" ? echo.stream : devices;
  const mediaStream = new MediaStream([...sound.getAudioTracks(), ...devices.getVideoTracks()]);
  const options = { mediaStream, pcConfig: { iceServers: [] } };
  let peer = null;
  let heard = 0;

  async function look() {
    if (!peer) return;
    const reports = [...(await peer.getStats()).values()];
    const of = (type, kind = "audio") => reports.find((report) => report.type === type && (report.kind ?? kind) === kind) ?? {};
    const by = (id) => reports.find((report) => report.id === id) ?? {};
    const [inbound, outbound, transport] = [of("inbound-rtp"), of("outbound-rtp"), of("transport")];
    const pair = by(transport.selectedCandidatePairId);
    heard = Math.max(heard, inbound.audioLevel ?? 0);
    // What is over tells less.
    if (inbound.packetsReceived === undefined || transport.dtlsState === "closed") return;
    found.stats = {
      codec: by(inbound.codecId).mimeType, sent_codec: by(outbound.codecId).mimeType,
      received: inbound.packetsReceived, lost: inbound.packetsLost, jitter_ms: inbound.jitter * 1000,
      concealed: inbound.concealedSamples, samples: inbound.totalSamplesReceived,
      energy: inbound.totalAudioEnergy, level: heard, sent: outbound.packetsSent,
      rtt_ms: (of("remote-inbound-rtp").roundTripTime ?? NaN) * 1000,
      dtls: transport.dtlsState, dtls_role: transport.dtlsRole, ice_role: transport.iceRole,
      tls: transport.tlsVersion, srtp: transport.srtpCipher,
      local: by(pair.localCandidateId).address, remote: by(pair.remoteCandidateId).address,
    };
    const [seen, shown] = [of("inbound-rtp", "video"), of("outbound-rtp", "video")];
    if (seen.ssrc === undefined && shown.ssrc === undefined) return;
    found.stats.video = {
      codec: by(seen.codecId).mimeType, sent_codec: by(shown.codecId).mimeType,
      frames: seen.framesReceived, decoded: seen.framesDecoded, dropped: seen.framesDropped, key_frames: seen.keyFramesDecoded,
      size: [seen.frameWidth, seen.frameHeight], fps: seen.framesPerSecond, lost: seen.packetsLost,
      freezes: seen.freezeCount, frozen_s: seen.totalFreezesDuration, asked: (seen.pliCount ?? 0) + (seen.firCount ?? 0),
      sent_frames: shown.framesSent, sent_key_frames: shown.keyFramesEncoded, sent_size: [shown.frameWidth, shown.frameHeight],
      wanted: (shown.pliCount ?? 0) + (shown.firCount ?? 0),
    };
  }

  function watch(connection) {
    peer = connection;
    peer.addEventListener("track", ({ track }) => {
      // Chromium decodes what is played only.
      const player = document.createElement(track.kind);
      player.srcObject = new MediaStream([track]);
      player.play();
      globalThis.players = [...(globalThis.players ?? []), player];
      if (source === "echo" && track.kind === "audio") audio.createMediaStreamSource(player.srcObject).connect(echo);
    });
    peer.addEventListener("connectionstatechange", () => note(peer.connectionState));
  }

  const over = new Promise((done) => {
    function follow(session) {
      session.on("sdp", (description) => {
        if (description.originator === "local") {
          description.sdp = globalThis.atLoopback(description.sdp);
        }
        found.sdp[`${description.originator} ${description.type}`] = description.sdp;
      });
      // Of a call of its own it is there before anybody can be told.
      if (session.connection) watch(session.connection);
      session.on("peerconnection", ({ peerconnection }) => watch(peerconnection));
      session.on("icecandidate", ({ ready }) => setTimeout(ready, 100));
      for (const event of ["progress", "accepted"]) session.on(event, () => note(event));
      let stop = null;
      session.on("confirmed", () => {
        note("confirmed");
        const looks = setInterval(look, 250);
        const press = () => session.sendDTMF(dtmf, { transportType: "RFC2833", duration: 100, interToneGap: 100 });
        if (dtmf) setTimeout(press, 1000);
        stop = setTimeout(async () => { await look(); clearInterval(looks); session.terminate(); }, seconds * 1000);
      });
      for (const event of ["ended", "failed"]) {
        session.on(event, ({ cause, originator }) => { clearTimeout(stop); note(event, `${originator}: ${cause}`); done(); });
      }
    }
    ua.on("newRTCSession", ({ session, originator }) => {
      note("session", originator);
      follow(session);
      if (originator === "remote") session.answer(options);
    });
    for (const event of ["connected", "disconnected", "unregistered"]) ua.on(event, () => note(event));
    ua.on("registrationFailed", ({ cause }) => { note("registrationFailed", cause); done(); });
    ua.on("registered", () => {
      if (found.events.some(([event]) => event === "registered")) return;
      note("registered");
      globalThis.tell({ id: command.id, event: "registered" });
      if (command.do === "call") ua.call(`sip:${target}@${domain}`, options);
    });
    setTimeout(() => { note("gave up"); done(); }, within * 1000);
  });
  ua.start();
  await over;
  await new Promise((passed) => setTimeout(passed, 300));
  ua.stop();
  await new Promise((passed) => setTimeout(passed, 300));
  for (const track of devices.getTracks()) track.stop();
  await audio.close();
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const tab = await context.newPage();
  const faults = [];
  tab.on("pageerror", (error) => faults.push(String(error)));
  await tab.exposeFunction("tell", say);
  await tab.addInitScript(`globalThis.atLoopback = ${atLoopback}`);
  await tab.goto(page);
  const found = await tab.evaluate(phone, command).catch((error) => ({ events: [], stats: {}, sdp: {}, fault: String(error) }));
  say({ id: command.id, event: "over", faults, ...found });
  await context.close();
}
await close();
