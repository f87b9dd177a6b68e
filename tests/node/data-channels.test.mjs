// Data channels of real peers: Chromium's, whose SCTP is dcsctp, and werift's, which is written in TypeScript.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createWorker, eventually, next } from './fixtures.mjs';
import { chromium, join, werift } from './data-peer.mjs';

const MAX_MESSAGE_SIZE = 262_144;

for (const [name, launch] of [['Chromium', chromium], ['werift', werift]]) {
  describe(`data channels of ${name}`, () => {
    let worker, router, peers, sender, receiver, sending, receiving;

    const createTransport = () => router.createWebRtcTransport({
      listenIps: ['127.0.0.1'], enableSctp: true, maxSctpMessageSize: MAX_MESSAGE_SIZE, sctpSendBufferSize: 2_000_000
    });

    // A channel of the sender's, and what the receiver gets of it.
    async function channel(streamId, parameters = {}) {
      await sender.open(streamId, parameters);
      const producer = await sending.produceData({ sctpStreamParameters: { streamId, ...parameters } });
      const consumer = await receiving.consumeData({ dataProducerId: producer.id });
      const { streamId: received } = consumer.sctpStreamParameters;
      await receiver.open(received, parameters);
      await opened(sender, streamId);
      await opened(receiver, received);
      return { producer, consumer, streamId, received };
    }
    const opened = (peer, id) => eventually(() => peer.state(id), state => state === 'open');
    const closed = (peer, id) => eventually(() => peer.state(id), state => state === 'closed');
    const arrived = (id, count) => eventually(() => receiver.messages(id), messages => messages.length >= count);

    before(async () => {
      worker = await createWorker();
      router = await worker.createRouter();
      peers = await launch();
      [sender, receiver] = [await peers.create(), await peers.create()];
      [sending, receiving] = [await createTransport(), await createTransport()];
      const states = [sending, receiving].map(transport => next(transport, 'sctpstatechange'));
      // Without a channel there is no SCTP to offer. It has no producer, and a message on it is for nobody.
      for (const [peer, transport] of [[sender, sending], [receiver, receiving]]) {
        await peer.open(1000);
        await join(peer, transport);
      }
      assert.deepEqual(await Promise.all(states), ['connecting', 'connecting']);
      await eventually(() => [sending, receiving].map(({ sctpState }) => sctpState).join(), state => state === 'connected,connected');
    });
    after(async () => {
      await sender?.close();
      await receiver?.close();
      await peers?.close();
      worker?.close();
    });

    test('messages come whole and in order', async () => {
      const { producer, consumer, streamId, received } = await channel(0);
      const texts = Array.from({ length: 500 }, (_, number) => `message ${number}, ünïcödé`);
      await sender.sendTexts(streamId, texts);
      await sender.sendBytes(streamId, 1000, 3);
      assert.deepEqual(await arrived(received, 501), [...texts, { length: 1000, sum: 3000 }]);
      const [{ messagesReceived }] = await producer.getStats();
      const [{ messagesSent, bytesSent }] = await consumer.getStats();
      assert.deepEqual([messagesReceived, messagesSent], [501, 501]);
      assert.equal(bytesSent, Buffer.byteLength(texts.join('')) + 1000);
    });

    // RFC 8831, 6.6: SCTP has no empty messages, so they have identifiers of their own. werift sends nothing at all.
    test('messages may be empty', { skip: name === 'werift' }, async () => {
      const { streamId, received } = await channel(4);
      await sender.sendTexts(streamId, ['']);
      await sender.sendBytes(streamId, 0, 0);
      assert.deepEqual(await arrived(received, 2), ['', { length: 0, sum: 0 }]);
    });

    test('a message may have 256 KiB', async () => {
      const { streamId, received } = await channel(2);
      for (const value of [1, 2, 3]) await sender.sendBytes(streamId, MAX_MESSAGE_SIZE, value);
      assert.deepEqual(await arrived(received, 3), [1, 2, 3].map(value => ({ length: MAX_MESSAGE_SIZE, sum: value * MAX_MESSAGE_SIZE })));
    });

    test('streams are many, unordered and unreliable ones among them', async () => {
      const kinds = [{}, { ordered: false }, { ordered: false, maxRetransmits: 3 }, { ordered: false, maxPacketLifeTime: 5000 }];
      const channels = [];
      for (let index = 0; index < 40; index++) channels.push(await channel(10 + index, kinds[index % kinds.length]));
      await Promise.all(channels.map(({ streamId }) => sender.sendTexts(streamId, ['a', 'b', `of ${streamId}`])));
      // Nothing is lost on the loopback interface.
      for (const { streamId, received } of channels) {
        const messages = await arrived(received, 3);
        assert.deepEqual([...messages].sort(), ['a', 'b', `of ${streamId}`]);
      }
      const { sctpListener } = await sending.dump();
      assert.equal(Object.keys(sctpListener.streamIdTable).filter(id => id >= 10 && id < 50).length, 40);
    });

    test('closing a consumer or a producer closes the channel', async () => {
      const first = await channel(60);
      // werift resets a stream in return only if it has sent on it.
      await sender.sendTexts(60, ['before']);
      await arrived(first.received, 1);
      first.consumer.close();
      await closed(receiver, first.received);
      assert.equal(await sender.state(first.streamId), 'open');
      first.producer.close();
      await closed(sender, first.streamId);
      // The stream can be used again. werift says that it is closed while its own reset is still under way, and then
      // closes the new channel.
      const id = name === 'werift' ? 62 : 60;
      const second = await channel(id);
      await sender.sendTexts(id, ['anew']);
      assert.deepEqual(await arrived(second.received, 1), ['anew']);
      // The consumers of a producer go with it.
      const end = next(second.consumer, 'dataproducerclose');
      second.producer.close();
      await end;
      await closed(receiver, second.received);
    });

    test('a channel that the peer closes can be opened again', async () => {
      const { received } = await channel(70);
      await sender.sendTexts(70, ['before']);
      await arrived(received, 1);
      await sender.closeChannel(70);
      await closed(sender, 70);
      await sender.open(70);
      await opened(sender, 70);
      await sender.sendTexts(70, ['after']);
      assert.deepEqual(await arrived(received, 2), ['before', 'after']);
    });

    test('the application sends too, and hears what waits', async () => {
      const { consumer, received } = await channel(80);
      await consumer.setBufferedAmountLowThreshold(1000);
      const low = next(consumer, 'bufferedamountlow');
      await consumer.send('from the server');
      await consumer.send('');
      const sent = Array.from({ length: 5 }, (_, value) => consumer.send(Buffer.alloc(MAX_MESSAGE_SIZE, value)));
      await Promise.all(sent);
      const messages = await arrived(received, 7);
      const long = Array.from({ length: 5 }, (_, value) => ({ length: MAX_MESSAGE_SIZE, sum: value * MAX_MESSAGE_SIZE }));
      assert.deepEqual(messages, ['from the server', '', ...long]);
      assert.ok(await low <= 1000);
      await eventually(() => consumer.getBufferedAmount(), amount => amount === 0);
    });

    test('a transport that is closed takes its channels with it', async () => {
      const { received, consumer } = await channel(90);
      const end = next(consumer, 'transportclose');
      receiving.close();
      await end;
      await closed(receiver, received);
      assert.equal(sending.sctpState, 'connected');
    });
  });
}
