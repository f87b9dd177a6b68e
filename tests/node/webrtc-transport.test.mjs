// WebRtcTransports, up to where a browser would come in: candidates, DTLS and ICE parameters, limits, refusals.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { LIMIT, Peer, UUID, audio, createWorker, mediaCodecs, next, record, rejects } from './fixtures.mjs';

let worker, router;
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
});
after(() => worker.close());

const fingerprint = (algorithm = 'sha-256') => ({ algorithm, value: Array(32).fill('8A').join(':') });

describe('a WebRtcTransport', () => {
  let transport;
  before(async () => {
    const heard = next(router.observer, 'newtransport');
    transport = await router.createWebRtcTransport({
      listenIps: [{ ip: '127.0.0.1', announcedIp: '203.0.113.5' }, { ip: '127.0.0.1' }, '::1'],
      enableUdp: true, enableTcp: true, preferUdp: true, appData: { peer: 'Ann' }
    });
    assert.equal(await heard, transport);
  });
  after(() => transport.close());

  test('offers a candidate for each address and protocol, the preferred first', () => {
    assert.deepEqual(
      transport.iceCandidates.map(({ ip, protocol, foundation, type, tcpType }) => [ip, protocol, foundation, type, tcpType]),
      [
        ['203.0.113.5', 'udp', 'udpcandidate', 'host', undefined], ['203.0.113.5', 'tcp', 'tcpcandidate', 'host', 'passive'],
        ['127.0.0.1', 'udp', 'udpcandidate', 'host', undefined], ['127.0.0.1', 'tcp', 'tcpcandidate', 'host', 'passive'],
        ['::1', 'udp', 'udpcandidate', 'host', undefined], ['::1', 'tcp', 'tcpcandidate', 'host', 'passive']
      ]
    );
    const { iceCandidates } = transport;
    for (const { port, priority } of iceCandidates) {
      assert.ok(port >= 10000 && port <= 29999, `port ${port} is of the worker's range`);
      assert.ok(Number.isInteger(priority) && priority > 0 && priority < 2 ** 31, `RFC 8445, 5.1.2: ${priority}`);
    }
    // RFC 8445, 5.1.2.1, with mediasoup's type preference of 64; each entry of the list comes after the one before, even
    // where two have one IP address.
    const withPreference = local => 2 ** 24 * 64 + 2 ** 8 * local + 255;
    const priorities = protocol => iceCandidates.filter(candidate => candidate.protocol === protocol).map(({ priority }) => priority);
    const [udp, tcp] = [priorities('udp'), priorities('tcp')];
    assert.deepEqual(udp, [11000, 10900, 10800].map(withPreference), 'preferUdp');
    assert.deepEqual(tcp, [10000, 9900, 9800].map(withPreference));
    assert.equal(new Set(iceCandidates.map(({ ip, protocol, port }) => `${ip} ${protocol} ${port}`)).size, 6);
  });

  test('waits for its peer as an ICE-lite agent', () => {
    assert.match(transport.id, UUID);
    assert.equal(transport.closed, false);
    assert.deepEqual(transport.appData, { peer: 'Ann' });
    assert.equal(transport.iceRole, 'controlled');
    assert.equal(transport.iceState, 'new');
    assert.equal(transport.iceSelectedTuple, undefined);
    assert.equal(transport.iceParameters.iceLite, true);
    assert.match(transport.iceParameters.usernameFragment, /^[A-Za-z0-9+/]{4,256}$/);
    assert.match(transport.iceParameters.password, /^[A-Za-z0-9+/]{22,256}$/);
    assert.equal(transport.dtlsState, 'new');
    assert.equal(transport.dtlsRemoteCert, undefined);
    assert.equal(transport.sctpParameters, undefined);
    assert.equal(transport.sctpState, undefined);
  });

  test('has fingerprints of its certificate by five algorithms, and either role', () => {
    assert.equal(transport.dtlsParameters.role, 'auto');
    const bytes = { 'sha-1': 20, 'sha-224': 28, 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 };
    const { fingerprints } = transport.dtlsParameters;
    assert.deepEqual(fingerprints.map(({ algorithm }) => algorithm).sort(), Object.keys(bytes).sort());
    for (const { algorithm, value } of fingerprints) {
      assert.match(value, /^[0-9A-F]{2}(:[0-9A-F]{2})*$/);
      assert.equal(value.split(':').length, bytes[algorithm], algorithm);
    }
  });

  test('dumps the same', async () => {
    const { id, iceRole, iceParameters, iceCandidates, iceState, dtlsParameters, dtlsState } = transport;
    const dump = await transport.dump();
    for (const [name, value] of Object.entries({ id, iceRole, iceParameters, iceCandidates, iceState, dtlsParameters, dtlsState })) {
      assert.deepEqual(dump[name], value, name);
    }
    assert.equal(dump.direct, false);
    assert.deepEqual([dump.producerIds, dump.consumerIds, dump.dataProducerIds, dump.dataConsumerIds], [[], [], [], []]);
    assert.deepEqual([dump.mapSsrcConsumerId, dump.mapRtxSsrcConsumerId, dump.recvRtpHeaderExtensions], [{}, {}, {}]);
    assert.deepEqual(dump.rtpListener, { ssrcTable: {}, midTable: {}, ridTable: {} });
    assert.equal(dump.traceEventTypes, '');
    assert.equal(dump.iceSelectedTuple, undefined);
  });

  test('has statistics that begin at 0', async () => {
    const stats = await transport.getStats();
    assert.equal(stats.length, 1);
    const [{ timestamp, ...stat }] = stats;
    assert.ok(timestamp > 0);
    for (const name of [
      'bytesReceived', 'recvBitrate', 'bytesSent', 'sendBitrate', 'rtpBytesReceived', 'rtpRecvBitrate', 'rtpBytesSent', 'rtpSendBitrate',
      'rtxBytesReceived', 'rtxRecvBitrate', 'rtxBytesSent', 'rtxSendBitrate', 'probationBytesSent', 'probationSendBitrate'
    ]) assert.equal(stat[name], 0, name);
    assert.equal(stat.type, 'webrtc-transport');
    assert.equal(stat.transportId, transport.id);
    assert.deepEqual([stat.iceRole, stat.iceState, stat.dtlsState], ['controlled', 'new', 'new']);
    assert.equal(stat.iceSelectedTuple, undefined);
  });

  test('takes limits of bitrates, and refuses what makes no sense', async () => {
    assert.equal(await transport.setMaxIncomingBitrate(1_000_000), undefined);
    assert.equal((await transport.getStats())[0].maxIncomingBitrate, 1_000_000);
    assert.equal(await transport.setMaxIncomingBitrate(0), undefined);
    assert.equal((await transport.getStats())[0].maxIncomingBitrate, undefined);
    assert.equal(await transport.setMaxOutgoingBitrate(200_000), undefined);
    assert.equal(await transport.setMinOutgoingBitrate(100_000), undefined);
    await rejects(transport.setMaxIncomingBitrate('fast'), TypeError);
    await rejects(transport.setMaxOutgoingBitrate(29_999), TypeError);
    await rejects(transport.setMinOutgoingBitrate(29_999), TypeError);
    await rejects(transport.setMaxOutgoingBitrate(99_999), TypeError);
    await rejects(transport.setMinOutgoingBitrate(200_001), TypeError);
    assert.equal(await transport.setMinOutgoingBitrate(0), undefined);
    assert.equal(await transport.setMaxOutgoingBitrate(0), undefined);
  });

  test('takes new ICE credentials for an ICE restart', async () => {
    const before = transport.iceParameters;
    const restarted = await transport.restartIce();
    assert.notEqual(restarted.usernameFragment, before.usernameFragment);
    assert.notEqual(restarted.password, before.password);
    assert.equal(restarted.iceLite, true);
    assert.deepEqual(transport.iceParameters, restarted);
    assert.deepEqual((await transport.dump()).iceParameters, restarted);
  });

  test('traces what it is asked to', async () => {
    await transport.enableTraceEvent(['bwe', 'no such type', 'probation']);
    assert.equal((await transport.dump()).traceEventTypes, 'probation,bwe');
    await transport.enableTraceEvent();
    assert.equal((await transport.dump()).traceEventTypes, '');
    await rejects(transport.enableTraceEvent(123), TypeError);
    await rejects(transport.enableTraceEvent([123]), TypeError);
  });

  test('listens where its candidates say', async () => {
    const { ip, port } = transport.iceCandidates.find(({ ip, protocol }) => ip === '127.0.0.1' && protocol === 'tcp');
    const socket = net.connect(port, ip);
    await once(socket, 'connect', { signal: AbortSignal.timeout(LIMIT) });
    socket.destroy();
  });
});

test('connect() decides about the DTLS roles', async () => {
  for (const [remote, local] of [['client', 'server'], ['server', 'client'], ['auto', 'client'], [undefined, 'client']]) {
    const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
    assert.equal(await transport.connect({ dtlsParameters: { role: remote, fingerprints: [fingerprint()] } }), undefined);
    assert.equal(transport.dtlsParameters.role, local, `the remote end is ${remote}`);
    assert.equal((await transport.dump()).dtlsParameters.role, local);
    await rejects(transport.connect({ dtlsParameters: { role: remote, fingerprints: [fingerprint()] } }), Error);
    transport.close();
  }
});

test('connect() refuses wrong DTLS parameters, and can be called again', async () => {
  const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  for (const dtlsParameters of [
    undefined, 'none', {}, { fingerprints: [] }, { fingerprints: 'AA' }, { fingerprints: [{ algorithm: 'sha-256' }] },
    { fingerprints: [fingerprint('sha-3')] }, { fingerprints: [fingerprint()], role: 'chicken' }
  ]) {
    await rejects(transport.connect({ dtlsParameters }), TypeError).catch(error => { throw new Error(`${JSON.stringify(dtlsParameters)}: ${error.message}`); });
  }
  assert.equal(transport.dtlsParameters.role, 'auto');
  await transport.connect({ dtlsParameters: { fingerprints: [fingerprint()] } });
  transport.close();
});

test('protocols and ports are as asked for', async () => {
  const protocols = transport => transport.iceCandidates.map(({ protocol }) => protocol);
  const onlyUdp = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  assert.deepEqual(protocols(onlyUdp), ['udp']);
  const onlyTcp = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'], enableUdp: false, enableTcp: true });
  assert.deepEqual(protocols(onlyTcp), ['tcp']);
  const preferTcp = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'], enableTcp: true, preferTcp: true });
  const priority = Object.fromEntries(preferTcp.iceCandidates.map(({ protocol, priority }) => [protocol, priority]));
  assert.ok(priority.tcp > priority.udp);

  const taken = await Peer.open();
  const { port } = taken;
  await rejects(router.createWebRtcTransport({ listenIps: ['127.0.0.1'], port }), Error);
  taken.close();
  const chosen = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'], port });
  assert.deepEqual(chosen.iceCandidates.map(candidate => candidate.port), [port]);
});

test('wrong addresses are a TypeError, and addresses that are not this machine\'s an Error', async () => {
  await rejects(router.createWebRtcTransport({}), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: [] }), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: [123] }), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: ['123'] }), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: [{ ip: 'example.org' }] }), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: '127.0.0.1' }), TypeError);
  await rejects(router.createWebRtcTransport({ listenIps: ['127.0.0.1'], appData: 'Ann' }), TypeError);
  const before = await router.dump();
  await rejects(router.createWebRtcTransport({ listenIps: ['127.0.0.1', '192.0.2.1'] }), Error);
  assert.deepEqual(await router.dump(), before, 'nothing remains of what was refused');
});

test('closing a transport closes its producers and consumers, and tells those who consume from it', async () => {
  const [from, to] = [await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] }), await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] })];
  const producer = await from.produce(audio());
  const consumer = await to.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
  const events = [record(from.observer, 'close'), record(producer, 'transportclose'), record(producer.observer, 'close')];
  const [port, ended] = [from.iceCandidates[0].port, next(consumer, 'producerclose')];
  from.close();
  from.close();
  assert.deepEqual(events, [['close'], ['transportclose'], ['close']]);
  await ended;
  assert.equal(consumer.closed, true);
  await rejects(from.dump(), Error);
  await rejects(from.getStats(), Error);
  await rejects(from.restartIce(), Error);
  await rejects(from.connect({ dtlsParameters: { fingerprints: [fingerprint()] } }), Error);
  assert.equal(to.closed, false);
  assert.deepEqual((await to.dump()).consumerIds, []);
  const again = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'], port });
  assert.equal(again.iceCandidates[0].port, port, 'its port is free again');
});
