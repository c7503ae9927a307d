// A worker for tasks that Python programs send (ask_node.py): node worker.js. SIGTERM ends it when its tasks are done.
//
// A task is acknowledged when it is done. What fails is tried again after pauses that double, then parked in digests.dead.
// If the connection is lost this ends with an error, and the broker gives its tasks to others: have it started again.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import amqp from 'amqplib';
import { Outbox, again, declareQueue, failed, parked, story } from './leveret.js';

const QUEUE = 'digests';
const AT_A_TIME = 8;
const CRASHES_MAX = 5;
const PATIENCE_MS = 365 * 24 * 3600 * 1000; // a task may run for hours

class Reject extends Error {
  name = 'Reject';
}

// By name: what runs, how often it is tried at most, and the first pause.
const tasks = {
  digest: {
    attempts: 3,
    firstMs: 200,
    async run([path], { algorithm = 'sha256' }) {
      if (algorithm === 'crc') throw new Reject('crc is no digest');
      const content = await readFile(path);
      console.log('digest', path, createHash(algorithm).update(content).digest('hex'));
    },
  },
};

const connection = await amqp.connect(process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/');
const outbox = await Outbox.open(connection);
const channel = await connection.createChannel();
const running = new Set();

function call(body) {
  const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
  const read = JSON.parse(body.toString());
  const { args = [], kwargs = {} } = isObject(read) ? read : { args: null };
  if (!Array.isArray(args) || !isObject(kwargs)) throw new TypeError('the body is not the JSON of a call');
  return [args, kwargs];
}

// Where the message goes now, unless it is done: [queue, properties, delayMs].
async function fate(message) {
  const { attempt, crashes, waitMs } = story(message);
  const dead = (error, reason, tried) => [`${QUEUE}.dead`, parked(message, QUEUE, error, reason, tried)];
  if (waitMs > 0) return [QUEUE, again(message), waitMs];
  const task = Object.hasOwn(tasks, message.properties.type ?? '') ? tasks[message.properties.type] : undefined;
  if (!task) return dead(new Error(`this worker knows no task ${message.properties.type}`), 'unknown-task', false);
  if (crashes > CRASHES_MAX) return dead(new Error(`its worker died ${crashes} times`), 'crashes', false);
  if (message.properties.headers?.['x-leveret-workflow']) {
    return dead(new Error('this worker knows no workflows'), 'workflow', false); // nothing that comes after it is lost
  }
  if (message.fields.redelivered) return [QUEUE, again(message, { 'x-leveret-crashes': crashes })];
  let args;
  try {
    args = call(message.content);
  } catch (error) {
    return dead(error, 'arguments', true);
  }
  try {
    await task.run(...args);
    return undefined;
  } catch (error) {
    console.log('failed', message.properties.messageId, attempt, error.message);
    if (error instanceof Reject) return dead(error, 'rejected');
    if (attempt >= task.attempts) return dead(error, 'attempts');
    return [QUEUE, failed(message, error), task.firstMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2)];
  }
}

async function take(message) {
  const next = await fate(message);
  if (next) {
    const [queue, properties, delayMs] = next;
    await outbox.put(queue, message.content, properties, delayMs);
    if (queue !== QUEUE) console.log('parked', message.properties.messageId);
  }
  channel.ack(message); // last of all: whoever dies before leaves the task to another worker
}

await channel.prefetch(AT_A_TIME);
await declareQueue(connection, QUEUE);
const { consumerTag } = await channel.consume(
  QUEUE,
  (message) => {
    if (message === null) throw new Error(`queue ${QUEUE} was deleted`);
    const taken = take(message).finally(() => running.delete(taken));
    running.add(taken); // an error of its own ends the worker, and the task stays in the queue
  },
  { arguments: { 'x-consumer-timeout': PATIENCE_MS } },
);
console.log('ready');

let ending = false;
connection.on('close', () => { // also when a broker that stops says goodbye, which amqplib takes for no error
  if (ending) return;
  console.error('the connection was closed');
  process.exit(1);
});

process.once('SIGTERM', async () => {
  ending = true;
  await channel.cancel(consumerTag);
  await Promise.all(running);
  await connection.close();
});
