// What a client is told to do, one JSON object a line; what comes of it, line by line.
// jobs.py says which lines there are.

import { createInterface } from "node:readline";

export async function serve(jobs) {
  const say = (told) => process.stdout.write(JSON.stringify(told) + "\n");
  console.log = console.info = console.error; // what a library prints is no line of ours
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, ...job } = JSON.parse(line);
    try {
      let come = await jobs[name](job);
      if (come?.[Symbol.asyncIterator]) {
        const pieces = [];
        for await (const piece of come) {
          pieces.push(piece);
          say({ piece });
        }
        come = pieces;
      }
      say({ result: come });
    } catch (error) {
      say({ error: told(error) });
    }
  }
}

function told(error) {
  const kinds = [error.name];
  for (let kind = error.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) {
    kinds.push(kind.name);
  }
  const status = error.status ?? error.statusCode ?? null;
  return { kinds, status, message: error.message };
}
