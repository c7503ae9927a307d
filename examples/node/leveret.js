// Leveret's message format (docs/message-format.md) for amqplib: an Outbox that puts messages into queues for certain, and
// what a message says after a failure. Used by send.js and worker.js.

import { randomUUID } from 'node:crypto';

const RUNGS = 26;
const UNIT_MS = 100;
const HIGHEST_MS = (2 ** RUNGS - 1) * UNIT_MS;
const LOSES_NOTHING = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };
const WAIT = 'x-leveret-wait';
const NOT_REPEATED = ['CC', 'BCC', 'x-delivery-count', 'x-leveret-reason', 'x-leveret-queue', WAIT];

// ---- sending

export function taskProperties(task) {
  return {
    type: task,
    messageId: randomUUID(),
    contentType: 'application/json',
    deliveryMode: 2,
    timestamp: Math.floor(Date.now() / 1000),
  };
}

export class Outbox {
  // One message at a time: so it is clear which of them was returned.
  static async open(connection) {
    const channel = await connection.createConfirmChannel();
    return new Outbox(connection, channel);
  }

  constructor(connection, channel) {
    this.connection = connection;
    this.channel = channel;
    this.declared = new Set();
    this.returned = false;
    this.turn = Promise.resolve();
    channel.on('return', () => { this.returned = true; });
  }

  // Resolves to the message's id when the broker has confirmed that it keeps the task.
  async send(queue, task, args = [], kwargs = {}, delayMs = 0) {
    const properties = taskProperties(task);
    await this.put(queue, Buffer.from(JSON.stringify({ args, kwargs })), properties, delayMs);
    return properties.messageId;
  }

  // Resolves when the broker has confirmed that it keeps the message; to be in its queue `delayMs` from now.
  put(queue, body, properties, delayMs = 0) {
    const done = this.turn.then(() => this.#put(queue, body, properties, delayMs));
    this.turn = done.catch(() => {});
    return done;
  }

  async #put(queue, body, properties, delayMs) {
    if (delayMs <= 0) {
      await this.#once(queue, () => declareQueue(this.connection, queue));
      return this.#publish('', queue, body, properties);
    }
    const { rung, key, leftMs } = descent(queue, delayMs);
    await this.#once(`${rung} ${queue}`, () => declareLadder(this.connection, this.channel, queue, rung));
    const headers = leftMs > 0 ? { ...properties.headers, [WAIT]: leftMs } : properties.headers;
    return this.#publish(rungName(rung), key, body, { ...properties, headers, expiration: undefined });
  }

  async #once(what, declare) {
    if (this.declared.has(what)) return;
    await declare();
    this.declared.add(what);
  }

  async #publish(exchange, key, body, properties, tries = 5) {
    this.returned = false;
    const refused = await new Promise((resolve) => {
      this.channel.publish(exchange, key, body, { ...properties, mandatory: true }, resolve);
    });
    if (refused) { // a quorum queue that is choosing its leader, say
      if (tries === 0) throw refused;
      await new Promise((resolve) => { setTimeout(resolve, 200); });
      return this.#publish(exchange, key, body, properties, tries - 1);
    }
    if (this.returned) {
      this.declared.clear();
      throw new Error(`nothing takes what is sent to '${exchange}' with ${key}: its queue was deleted; send it again`);
    }
    return undefined;
  }
}

// ---- queues

function isRabbitmq(connection) {
  return connection.connection.serverProperties.product === 'RabbitMQ';
}

// On a channel for this alone, which a refusal ends. A queue that is there with other arguments is taken as it is.
export async function declareQueue(connection, queue) {
  const channel = await connection.createChannel();
  const refused = new Promise((resolve) => { channel.on('error', resolve); });
  const poison = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': `${queue}.dead`, ...LOSES_NOTHING };
  const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1000, ...(queue.endsWith('.dead') ? {} : poison) };
  try {
    await channel.assertQueue(queue, { durable: true, arguments: isRabbitmq(connection) ? quorum : {} });
    await channel.close();
  } catch (error) {
    await refused;
    if (!error.message.includes("inequivalent arg 'x-")) throw error;
  }
}

// ---- delays

export function descent(queue, delayMs) {
  const tenths = Math.min(Math.ceil(delayMs / UNIT_MS), 2 ** RUNGS - 1);
  const digits = tenths.toString(2);
  const key = [...digits.padStart(RUNGS, '0'), word(queue)].join('.');
  return { rung: digits.length - 1, key, leftMs: Math.max(0, delayMs - HIGHEST_MS) };
}

// encodeURIComponent leaves some signs as they are that have a meaning in a routing key.
function word(queue) {
  return encodeURIComponent(queue).replace(/[.!*'()]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

function rungName(number) {
  return number >= 0 ? `leveret.delay.${number}` : 'leveret.delayed';
}

async function declareLadder(connection, channel, queue, height) {
  const ifNowhere = { durable: true, arguments: { 'alternate-exchange': 'leveret.undelivered' } };
  const atLeastOnce = { 'x-queue-type': 'quorum', ...LOSES_NOTHING };
  await channel.assertExchange('leveret.undelivered', 'fanout', { durable: true });
  await channel.assertQueue('leveret.undelivered', { durable: true });
  await channel.bindQueue('leveret.undelivered', 'leveret.undelivered', '');
  await channel.assertExchange('leveret.delayed', 'topic', ifNowhere);
  for (let number = 0; number <= height; number += 1) {
    const [name, below, before] = [rungName(number), rungName(number - 1), '*.'.repeat(RUNGS - 1 - number)];
    const waits = { 'x-message-ttl': UNIT_MS * 2 ** number, 'x-dead-letter-exchange': below };
    await channel.assertExchange(name, 'topic', ifNowhere);
    await channel.assertQueue(name, { durable: true, arguments: { ...waits, ...(isRabbitmq(connection) ? atLeastOnce : {}) } });
    await channel.bindQueue(name, name, `${before}1.#`);
    await channel.bindExchange(below, name, `${before}0.#`);
  }
  await declareQueue(connection, queue);
  await channel.bindQueue(queue, 'leveret.delayed', '*.'.repeat(RUNGS) + word(queue));
}

// ---- a message's own story

// What its headers say: its attempt (from 1), how often its worker may have died of it, how long it is still to wait.
export function story(message) {
  const headers = message.properties.headers ?? {};
  const anew = 'x-leveret-reason' in headers; // a dead letter that was moved back to its queue
  return {
    attempt: anew ? 1 : (headers['x-leveret-attempt'] ?? 0) + 1,
    crashes: (anew ? 0 : (headers['x-leveret-crashes'] ?? 0)) + (message.fields.redelivered ? 1 : 0),
    waitMs: headers[WAIT] ?? 0,
  };
}

// The properties with which a message is published again.
export function again(message, more = {}) {
  const headers = { ...withoutDescent(message.properties.headers ?? {}), ...more };
  return { ...message.properties, headers, userId: undefined };
}

// The same, after a failure. `tried` is false if it went wrong before the task began.
export function failed(message, error, tried = true) {
  const now = { '!': 'timestamp', value: Math.floor(Date.now() / 1000) };
  const properties = again(message, {
    'x-leveret-attempt': story(message).attempt - (tried ? 0 : 1),
    'x-leveret-last-failure': now,
    'x-leveret-exception': error.name,
    'x-leveret-error': error.message.slice(0, 500),
    'x-leveret-traceback': (error.stack ?? '').slice(0, 8000),
    'x-leveret-crashes': undefined,
  });
  properties.headers['x-leveret-first-failure'] ??= now;
  return properties;
}

// The same, for the dead letters of its queue.
export function parked(message, queue, error, reason, tried = true) {
  const properties = failed(message, error, tried);
  Object.assign(properties.headers, { 'x-leveret-reason': reason, 'x-leveret-queue': queue });
  return { ...properties, deliveryMode: 2, expiration: undefined };
}

// Without what the broker wrote into it on its way down the ladder.
function withoutDescent(headers) {
  const ofRung = (queue) => typeof queue === 'string' && queue.startsWith('leveret.delay.');
  const kept = {};
  for (const [name, value] of Object.entries(headers)) {
    const [kind] = /^x-(first|last)-death-/.exec(name) ?? [];
    if (!NOT_REPEATED.includes(name) && !(kind && ofRung(headers[`${kind}queue`]))) kept[name] = value;
  }
  kept['x-death'] = headers['x-death']?.filter((death) => !ofRung(death.queue));
  if (!kept['x-death']?.length) delete kept['x-death'];
  return kept;
}
