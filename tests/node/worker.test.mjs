// Workers: settings, life and death, what they tell of themselves.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LIMIT, audio, createWorker, mediaCodecs, mediasoup, next, plainCapabilities, record, rejects } from './fixtures.mjs';

const { InvalidStateError } = mediasoup.types;

test('it is mediasoup 3.12.16 as published, on our worker', () => {
  assert.equal(mediasoup.version, '3.12.16');
  assert.equal(mediasoup.workerBin, process.env.MEDIASOUP_WORKER_BIN);
});

describe('a worker', () => {
  let worker;
  before(async () => { worker = await createWorker({ appData: { room: 7 } }); });
  after(() => worker.close());

  test('is a process of its own', () => {
    assert.equal(typeof worker.pid, 'number');
    assert.notEqual(worker.pid, process.pid);
    assert.ok(process.kill(worker.pid, 0));
    assert.equal(worker.closed, false);
    assert.equal(worker.died, false);
    assert.deepEqual(worker.appData, { room: 7 });
  });

  test('dumps what it has', async () => {
    const handlers = { channelRequestHandlers: [], payloadChannelRequestHandlers: [], payloadChannelNotificationHandlers: [] };
    assert.deepEqual(await worker.dump(), { pid: worker.pid, webRtcServerIds: [], routerIds: [], channelMessageHandlers: handlers });

    const router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
    const transport = await router.createPlainTransport({ listenIp: '127.0.0.1' });
    const producer = await transport.produce(audio());
    const consumer = await transport.consume({ producerId: producer.id, rtpCapabilities: plainCapabilities() });
    const { routerIds, channelMessageHandlers } = await worker.dump();
    assert.deepEqual(routerIds, [router.id]);
    const sorted = ids => [...ids].sort();
    assert.deepEqual(sorted(channelMessageHandlers.channelRequestHandlers), sorted([router.id, transport.id, producer.id, consumer.id]));
    assert.deepEqual(channelMessageHandlers.payloadChannelRequestHandlers, [transport.id]);
    assert.deepEqual(sorted(channelMessageHandlers.payloadChannelNotificationHandlers), sorted([transport.id, producer.id]));

    router.close();
    assert.deepEqual((await worker.dump()).channelMessageHandlers, handlers, 'closing a router leaves nothing of it behind');
  });

  test('tells what it uses of the machine', async () => {
    const usage = await worker.getResourceUsage();
    assert.deepEqual(Object.keys(usage).sort(), [
      'ru_idrss', 'ru_inblock', 'ru_isrss', 'ru_ixrss', 'ru_majflt', 'ru_maxrss', 'ru_minflt', 'ru_msgrcv', 'ru_msgsnd',
      'ru_nivcsw', 'ru_nsignals', 'ru_nswap', 'ru_nvcsw', 'ru_oublock', 'ru_stime', 'ru_utime'
    ]);
    for (const [name, value] of Object.entries(usage)) assert.ok(Number.isInteger(value) && value >= 0, `${name}: ${value}`);
    assert.ok(usage.ru_maxrss > 1000, `${usage.ru_maxrss} KiB of memory`);
    assert.ok(usage.ru_utime + usage.ru_stime < 60_000, 'milliseconds of CPU');
  });

  test('takes other settings while it runs', async () => {
    assert.equal(await worker.updateSettings({ logLevel: 'debug', logTags: ['ice', 'no such tag'] }), undefined);
    assert.equal(await worker.updateSettings({ logLevel: 'none' }), undefined);
    assert.equal(await worker.updateSettings(), undefined);
    await rejects(worker.updateSettings({ logLevel: 'chatty' }), TypeError);
    assert.equal(worker.closed, false);
  });

  test('outlives the signals that mediasoup ignores', async () => {
    for (const signal of ['SIGPIPE', 'SIGHUP', 'SIGALRM', 'SIGUSR1', 'SIGUSR2']) process.kill(worker.pid, signal);
    assert.equal((await worker.dump()).pid, worker.pid);
  });
});

test('wrong settings are a TypeError', async () => {
  const file = fileURLToPath(import.meta.url);
  for (const settings of [
    { logLevel: 'chatty' },
    { rtcMinPort: 1000, rtcMaxPort: 999 },
    { rtcMinPort: 70_000 },
    { rtcMinPort: -1 },
    { dtlsCertificateFile: '/nonexistent/cert.pem', dtlsPrivateKeyFile: '/nonexistent/key.pem' },
    { dtlsCertificateFile: file },
    { dtlsPrivateKeyFile: file },
    { appData: 'room 7' }
  ]) {
    await rejects(createWorker(settings), TypeError).catch(error => { throw new Error(`${JSON.stringify(settings)}: ${error.message}`); });
  }
});

test('settings of every kind are taken', async () => {
  for (const settings of [
    {},
    { logLevel: 'debug', logTags: ['info', 'ice', 'dtls', 'rtp', 'srtp', 'rtcp', 'rtx', 'bwe', 'score', 'simulcast', 'svc', 'sctp', 'message'] },
    { logLevel: 'none', logTags: ['no such tag'] },
    { logLevel: 'warn', rtcMinPort: 0, rtcMaxPort: 9999 },
    { libwebrtcFieldTrials: 'WebRTC-Bwe-AlrLimitedBackoff/Disabled/' }
  ]) {
    const worker = await mediasoup.createWorker(settings);
    assert.equal(worker.closed, false);
    worker.close();
  }
});

test('applications hear of new workers', async () => {
  const heard = next(mediasoup.observer, 'newworker');
  const worker = await createWorker();
  assert.equal(await heard, worker);
  worker.close();
});

test('closing a worker closes all that is in it, and ends the process', async () => {
  const worker = await createWorker();
  const child = new Promise(resolve => watchExit(worker.pid, resolve));
  const router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
  const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  const producer = await transport.produce(audio());
  const events = [
    record(worker.observer, 'close'), record(router, 'workerclose'), record(transport, 'routerclose'), record(producer, 'transportclose')
  ];
  worker.on('died', () => assert.fail('it was closed: it has not died'));
  worker.close();
  worker.close();
  assert.deepEqual(events, [['close'], ['workerclose'], ['routerclose'], ['transportclose']]);
  for (const entity of [worker, router, transport, producer]) assert.equal(entity.closed, true);
  assert.equal(worker.died, false);
  await rejects(worker.dump(), InvalidStateError);
  await rejects(worker.getResourceUsage(), InvalidStateError);
  await rejects(worker.updateSettings({ logLevel: 'error' }), InvalidStateError);
  await rejects(worker.createRouter(), InvalidStateError);
  await rejects(router.dump(), InvalidStateError);
  await child;
});

test('a killed worker has died, and its routers hear of it', async () => {
  const worker = await createWorker();
  const router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
  const transport = await router.createPlainTransport({ listenIp: '127.0.0.1' });
  const events = [record(worker.observer, 'close'), record(router, 'workerclose'), record(transport, 'routerclose')];
  const died = next(worker, 'died');
  process.kill(worker.pid, 'SIGKILL');
  const error = await died;
  assert.ok(error instanceof Error);
  assert.match(error.message, /SIGKILL/);
  assert.deepEqual(events, [['close'], ['workerclose'], ['routerclose']]);
  assert.equal(worker.died, true);
  assert.equal(worker.closed, true);
  await rejects(worker.dump(), InvalidStateError);
});

test('SIGINT and SIGTERM end a worker properly, with exit code 0', async () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const worker = await createWorker();
    const died = next(worker, 'died');
    process.kill(worker.pid, signal);
    assert.match((await died).message, /code:0, signal:null/, signal);
  }
});

test('two workers have nothing to do with each other', async () => {
  const [one, other] = await Promise.all([createWorker(), createWorker()]);
  assert.notEqual(one.pid, other.pid);
  const router = await other.createRouter({ mediaCodecs: mediaCodecs() });
  assert.deepEqual((await one.dump()).routerIds, []);
  assert.deepEqual((await other.dump()).routerIds, [router.id]);
  const died = next(one, 'died');
  process.kill(one.pid, 'SIGKILL');
  await died;
  assert.equal(other.closed, false);
  assert.equal((await router.dump()).id, router.id);
  other.close();
});

test('a worker ends with the Node process that made it, however that ends', async () => {
  const fixtures = new URL('./fixtures.mjs', import.meta.url);
  const program = `import { createWorker } from ${JSON.stringify(fixtures.href)}; const { pid } = await createWorker(); console.log(pid);`;
  const node = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = Number(await next(node.stdout, 'data'));
  assert.ok(process.kill(pid, 0));
  const gone = new Promise(resolve => watchExit(pid, resolve));
  node.kill('SIGKILL');
  await once(node, 'exit');
  await gone;
});

// Calls back once the process has exited, whether or not its parent has noticed; fails the test when it takes too long.
function watchExit(pid, exited) {
  const deadline = Date.now() + LIMIT;
  const look = () => {
    let state;
    try {
      state = /\) (\w)/.exec(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))[1];
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
      return exited();
    }
    if (state === 'Z') return exited();
    assert.ok(Date.now() < deadline, `the worker ${pid} still runs`);
    setTimeout(look, 5);
  };
  look();
}
