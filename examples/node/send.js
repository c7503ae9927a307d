// Sends files to be compressed by the Python worker of app.py: node send.js [--delay SECONDS] FILE…
// Each line stands for a task that the broker has on disk.

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import amqp from 'amqplib';
import { Outbox } from './leveret.js';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { delay: { type: 'string', default: '0' } } });
const connection = await amqp.connect(process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/');
const outbox = await Outbox.open(connection);
for (const path of positionals) {
  const id = await outbox.send('files', 'compress', [resolve(path)], { level: 9 }, Number(values.delay) * 1000);
  console.log('sent', id);
}
await connection.close();
