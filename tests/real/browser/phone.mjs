// A web phone: JsSIP in Chromium. Reads one command a line and prints what comes of it, one JSON a line, with its `id`.
//   node phone.mjs <COMMANDS
// {id, do: "call" | "answer", url, user, domain, password, target, seconds, source, within}: registers over the WebSocket
// at `url`, calls `target` or waits for a call, and hangs up after `seconds` unless the far end does. What it sends is
// `beep`, the tone of Chromium's fake microphone, or `echo`, what it hears.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const bundle = await build({
  stdin: { contents: 'import JsSIP from "jssip"; globalThis.JsSIP = JsSIP;', resolveDir: import.meta.dirname },
  bundle: true, format: "iife", define: { global: "globalThis" }, write: false, logLevel: "error",
});
const page = `<!doctype html><title>phone</title><script>${bundle.outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`;
// A page of the loopback may use the microphone and open WebSockets to the loopback.
const server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html; charset=utf-8").end(page));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    // A device that takes audio at its pace, where the machine has none: nothing is decoded that nobody takes.
    "--disable-audio-output",
    // Sockets of media stand at every address instead of at each interface's, so that packets to the loopback come from it.
    "--webrtc-ip-handling-policy=default_public_and_private_interfaces",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
  ],
});
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// What runs in the page: one call, and what is known of it.
async function phone(command) {
  const { url, user, domain, password, target, seconds, source, within } = command;
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
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const mediaStream = source === "echo" ? echo.stream : microphone;
  const options = { mediaStream, pcConfig: { iceServers: [] } };
  let peer = null;
  let heard = 0;

  async function look() {
    if (!peer) return;
    const reports = [...(await peer.getStats()).values()];
    const of = (type) => reports.find((report) => report.type === type && (report.kind ?? "audio") === "audio") ?? {};
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
  }

  function watch(connection) {
    peer = connection;
    peer.addEventListener("track", ({ track }) => {
      // Chromium decodes what is played only.
      const player = new Audio();
      player.srcObject = new MediaStream([track]);
      player.play();
      globalThis.players = [...(globalThis.players ?? []), player];
      if (source === "echo") audio.createMediaStreamSource(player.srcObject).connect(echo);
    });
    peer.addEventListener("connectionstatechange", () => note(peer.connectionState));
  }

  const over = new Promise((done) => {
    function follow(session) {
      session.on("sdp", (description) => {
        if (description.originator === "local") {
          // Instead of the address that the system would take to the outside: nothing of a test goes there.
          description.sdp = description.sdp
            .replace(/^a=candidate:\S+ \d+ (tcp \d+ |udp \d+ \S*:).*\r\n/gim, "")
            .replace(/^(a=candidate:\S+ \d+ udp \d+) \S+/gim, "$1 127.0.0.1")
            .replace(/^c=IN IP[46] \S+/gm, "c=IN IP4 127.0.0.1");
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
  for (const track of microphone.getTracks()) track.stop();
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
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  const found = await tab.evaluate(phone, command).catch((error) => ({ events: [], stats: {}, sdp: {}, fault: String(error) }));
  say({ id: command.id, event: "over", faults, ...found });
  await context.close();
}
await browser.close();
server.close();
