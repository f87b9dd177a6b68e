// Our negotiation against mediasoup's: thousands of generated routers, producers and receivers, each step compared.

import './worker-bin.mjs';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

const CASES = 3000;

const require = createRequire(import.meta.url);
const library = path.dirname(require.resolve('mediasoup'));
// Not what the package exports, but what its handles are made of.
const ortc = require(path.join(library, 'ortc.js'));

const program = path.join(path.dirname(process.env.MEDIASOUP_WORKER_BIN), 'examples/ortc');

/** Choices by a linear congruential generator, so that each run has the same cases. */
class Choices {
  constructor(seed) { this.state = seed; }

  below(count) {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    // The low bits of such a generator repeat soon.
    return Math.floor(this.state / 2 ** 32 * count);
  }

  of(list) { return list[this.below(list.length)]; }
  chance(percent) { return this.below(100) < percent; }
  some(list, percent = 60) { return list.filter(() => this.chance(percent)); }
}

const AUDIO = [
  ['opus', 48000, 2], ['opus', 48000, 1], ['opus', 48000], ['OPUS', 48000, 2], ['multiopus', 48000, 4], ['multiopus', 48000, 6],
  ['PCMU', 8000], ['PCMA', 8000, 1], ['ISAC', 16000, 1], ['CN', 32000], ['telephone-event', 8000], ['telephone-event', 48000, 1],
  ['smoke-signals', 8000, 1]
];
const VIDEO = ['VP8', 'vp8', 'VP9', 'H264', 'h264', 'H264-SVC', 'H265', 'AV1'];
// None of level 1b, which the package orders otherwise than the standard: see core/control/src/ortc/h264.rs.
const PROFILE_LEVELS = ['42e01f', '42e015', '42e00a', '42e0ff', '42001f', '4d0032', '4de01f', '64001f', '640c1f', 'chicken'];
const EXTENSIONS = [
  'urn:ietf:params:rtp-hdrext:sdes:mid', 'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id', 'urn:3gpp:video-orientation',
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
  'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', 'urn:unheard-of'
];
const FEEDBACK = [
  { type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' }, { type: 'goog-remb' }, { type: 'transport-cc' }
];

const copy = value => structuredClone(value);

function codecParameters(choose, name) {
  const parameters = {};
  const may = (key, percent, values) => { if (choose.chance(percent)) parameters[key] = choose.of(values); };
  if (/^h264/i.test(name)) {
    may('packetization-mode', 80, [0, 1, 1]);
    may('profile-level-id', 80, PROFILE_LEVELS);
    may('level-asymmetry-allowed', 50, [0, 1]);
  }
  if (name === 'VP9') may('profile-id', 50, [0, 1, 2]);
  if (name === 'multiopus') {
    may('num_streams', 80, [2, 4]);
    may('coupled_streams', 80, [1, 2, 2]);
    may('channel_mapping', 30, ['0,1']);
  }
  may('usedtx', 10, [1]);
  may('text', 5, ['t']);
  may('fraction', 2, [1.5]);
  may('flag', 2, [true]);
  may('apt', 2, [96, '96']);
  return parameters;
}

function mediaCodec(choose) {
  const codec = {};
  if (choose.chance(40)) {
    const [name, clockRate, channels] = choose.of(AUDIO);
    Object.assign(codec, { kind: 'audio', mimeType: `audio/${name}`, clockRate, parameters: codecParameters(choose, name) });
    if (channels) codec.channels = channels;
  } else {
    const name = choose.of(VIDEO);
    const kind = choose.chance(97) ? 'video' : 'audio';
    Object.assign(codec, { kind, mimeType: `video/${name}`, clockRate: 90000, parameters: codecParameters(choose, name) });
  }
  if (choose.chance(20)) codec.preferredPayloadType = choose.of([96, 100, 101, 102, 110, 120]);
  if (choose.chance(20)) codec.rtcpFeedback = choose.some(FEEDBACK);
  return codec;
}

/** Codecs of a router, mostly such as it supports. */
function mediaCodecs(choose) {
  const codecs = [];
  for (let wanted = 1 + choose.below(4), tries = 0; codecs.length < wanted && tries < 50; tries++) {
    const codec = mediaCodec(choose);
    let supported = true;
    try { ortc.generateRouterRtpCapabilities(copy([...codecs, codec])); } catch { supported = false; }
    if (supported || choose.chance(2)) codecs.push(codec);
  }
  return codecs;
}

function producerParameters(choose, first, others) {
  const codecs = [];
  for (const media of [first, ...choose.some(others, 30)]) {
    const { mimeType, clockRate, channels } = media;
    const parameters = choose.chance(60) ? copy(media.parameters) : codecParameters(choose, mimeType.split('/')[1]);
    const codec = { mimeType, payloadType: 96 + codecs.length, clockRate, parameters, rtcpFeedback: choose.some(FEEDBACK) };
    if (channels !== undefined && choose.chance(95)) codec.channels = channels;
    codecs.push(codec);
    if (media.kind === 'video' && choose.chance(70)) {
      const apt = choose.chance(95) ? codec.payloadType : choose.of([0, 99]);
      codecs.push({ mimeType: 'video/rtx', payloadType: 96 + codecs.length, clockRate: 90000, parameters: { apt } });
    }
  }
  if (choose.chance(10)) codecs.reverse();
  const encodings = Array.from({ length: choose.of([0, 1, 1, 1, 2, 3]) }, (_, index) => {
    const encoding = {};
    if (choose.chance(60)) encoding.ssrc = 1000 + index; else if (choose.chance(50)) encoding.rid = `r${index}`;
    if (choose.chance(40)) encoding.rtx = { ssrc: 2000 + index };
    if (choose.chance(40)) encoding.scalabilityMode = choose.of(['L1T2', 'L1T3', 'L3T3', 'S3T3_KEY', 'L0T1', 'odd']);
    if (choose.chance(40)) encoding.maxBitrate = choose.of([1, 100000, 500000]);
    if (choose.chance(20)) encoding.dtx = choose.chance(50);
    if (choose.chance(10)) encoding.codecPayloadType = 96;
    if (choose.chance(10)) encoding.maxFramerate = 30;
    return encoding;
  });
  const parameters = { codecs, encodings, headerExtensions: choose.some(EXTENSIONS).map((uri, index) => ({ uri, id: index + 1 })) };
  if (choose.chance(50)) parameters.mid = '0';
  if (choose.chance(50)) parameters.rtcp = choose.of([{ cname: 'c' }, { reducedSize: false }]);
  return parameters;
}

/** What a receiver has of a router's capabilities, mostly in the router's numbers. */
function receiverCapabilities(choose, router) {
  const capabilities = copy(router);
  if (choose.chance(30)) capabilities.headerExtensions = choose.some(capabilities.headerExtensions);
  if (choose.chance(30)) capabilities.codecs = choose.some(capabilities.codecs, 70);
  for (const codec of capabilities.codecs) {
    if (choose.chance(30)) codec.rtcpFeedback = choose.some(codec.rtcpFeedback);
    if (choose.chance(10)) delete codec.channels;
    if (choose.chance(10)) Object.assign(codec.parameters, codecParameters(choose, codec.mimeType.split('/')[1]));
    if (choose.chance(10)) codec.preferredPayloadType = (codec.preferredPayloadType + 3) % 128;
    if (choose.chance(3)) codec.mimeType = codec.mimeType.toUpperCase();
    if (choose.chance(2)) delete codec.rtcpFeedback;
  }
  for (const extension of capabilities.headerExtensions) {
    if (choose.chance(5)) extension.preferredId = 3;
    if (choose.chance(1)) delete extension.kind;
  }
  if (choose.chance(2)) delete capabilities.headerExtensions;
  if (choose.chance(2)) delete capabilities.codecs;
  return capabilities;
}

function generate(choose) {
  const codecs = mediaCodecs(choose);
  let router = { codecs: [], headerExtensions: [] };
  try { router = ortc.generateRouterRtpCapabilities(copy(codecs)); } catch { /* the case is that it throws */ }
  const media = router.codecs.filter(({ mimeType }) => !mimeType.endsWith('/rtx'));
  const first = media.length > 0 && choose.chance(90) ? choose.of(media) : { ...mediaCodec(choose) };
  const kind = first.mimeType.startsWith('audio/') ? 'audio' : 'video';
  return {
    mediaCodecs: codecs, kind,
    rtpParameters: producerParameters(choose, first, media.filter(codec => codec !== first && codec.kind === kind)),
    rtpCapabilities: receiverCapabilities(choose, router),
    pipe: choose.chance(20), enableRtx: choose.chance(70)
  };
}

/** The same steps as those of core/control/examples/ortc.rs. */
function negotiate({ mediaCodecs, kind, rtpParameters, rtpCapabilities, pipe, enableRtx }) {
  const steps = {};
  try {
    steps.router = ortc.generateRouterRtpCapabilities(mediaCodecs);
    ortc.validateRtpParameters(rtpParameters);
    steps.mapping = ortc.getProducerRtpParametersMapping(rtpParameters, steps.router);
    steps.parameters = copy(rtpParameters);
    const consumable = ortc.getConsumableRtpParameters(kind, rtpParameters, steps.router, steps.mapping);
    steps.consumable = copy(consumable);
    steps.piped = ortc.getPipeConsumerRtpParameters({ consumableRtpParameters: consumable, enableRtx });
    steps.canConsume = ortc.canConsume(consumable, rtpCapabilities);
    const given = { consumableRtpParameters: consumable, remoteRtpCapabilities: rtpCapabilities, pipe, enableRtx };
    try { steps.consumed = ortc.getConsumerRtpParameters(given); } catch (error) { steps.consumed = { throws: error.constructor.name }; }
  } catch (error) {
    steps.throws = error.constructor.name;
  }
  return steps;
}

/** SSRCs are random: what counts is which follows which. */
function withoutChance(steps) {
  const relative = (encodings, name) => {
    const [base, rtxBase] = [encodings[0]?.[name], encodings[0]?.rtx?.ssrc];
    for (const encoding of encodings) {
      encoding[name] -= base;
      // That of a single encoding follows its media; those of several are a row of their own.
      if (encoding.rtx) encoding.rtx.ssrc -= encodings.length === 1 && rtxBase === base + 1 ? base : rtxBase;
    }
  };
  if (steps.mapping) relative(steps.mapping.encodings, 'mappedSsrc');
  for (const step of ['consumable', 'piped', 'consumed']) if (steps[step]?.encodings) relative(steps[step].encodings, 'ssrc');
  return steps;
}

/** Without members that say the same whether they are there or not, and with the others in one order. */
function canonical(value) {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  // `mux` is a leftover of mediasoup's, which is always true.
  const says = ([key, inner]) => inner !== undefined && key !== 'mux' && !(key === 'parameter' && inner === '');
  return Object.fromEntries(Object.entries(value).filter(says).sort().map(([key, inner]) => [key, canonical(inner)]));
}

test('negotiation gives what mediasoup gives, whatever is negotiated', () => {
  const choose = new Choices(20240229);
  const cases = Array.from({ length: CASES }, () => generate(choose));
  const input = cases.map(one => `${JSON.stringify(one)}\n`).join('');
  const { status, stdout, stderr } = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 2 ** 30 });
  assert.equal(status, 0, `${program}: ${stderr}`);
  const ours = stdout.trimEnd().split('\n').map(line => JSON.parse(line));
  assert.equal(ours.length, CASES);

  const seen = { consumed: 0, refusedConsumer: 0, refusedProducer: 0, refusedRouter: 0 };
  cases.forEach((one, index) => {
    const theirs = canonical(withoutChance(JSON.parse(JSON.stringify(negotiate(copy(one))))));
    assert.deepEqual(canonical(withoutChance(ours[index])), theirs, `case ${index}: ${JSON.stringify(one)}`);
    if (theirs.consumed && !theirs.consumed.throws) seen.consumed++;
    else if (theirs.consumable) seen.refusedConsumer++;
    else if (theirs.router) seen.refusedProducer++;
    else seen.refusedRouter++;
  });
  // The cases are of use only while all of these occur.
  for (const [what, count] of Object.entries(seen)) assert.ok(count > CASES / 100, `${what}: ${count} of ${CASES}`);
});
