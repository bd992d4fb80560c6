// OpenAI's own client for Node.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { serve } from "./jobs.mjs";

const TOOL = {
  type: "function",
  function: {
    name: "look_up",
    description: "Look something up.",
    parameters: {
      type: "object",
      properties: { about: { type: "string" } },
      required: ["about"],
    },
  },
};
const Steps = z.object({ question: z.string(), steps: z.array(z.string()) });

const client = ({ url, key }) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const said = (text) => [{ role: "user", content: text }];

async function chat(job, more) {
  const answer = await client(job).chat.completions.create({ model: "m", ...more });
  return answer.choices[0].message;
}

const ask = async (job) => (await chat(job, { messages: said(job.text) })).content;

async function* hear(job) {
  const question = { model: "m", messages: said(job.text), stream: true };
  for await (const chunk of await client(job).chat.completions.create(question)) {
    const piece = chunk.choices[0]?.delta.content;
    if (piece) yield piece;
  }
}

// A turn with a tool, and the turn after it.
async function call(job) {
  const messages = said(job.text);
  const message = await chat(job, { messages, tools: [TOOL] });
  messages.push(message);
  const calls = [];
  for (const called of message.tool_calls) {
    const { name, arguments: text } = called.function;
    calls.push({ name, arguments: JSON.parse(text) });
    const content = `All there is on ${JSON.parse(text).about}.`;
    messages.push({ role: "tool", tool_call_id: called.id, content });
  }
  return { calls, answer: (await chat(job, { messages, tools: [TOOL] })).content };
}

async function parse(job) {
  const answer = await client(job).chat.completions.parse({
    model: "m",
    messages: said(job.text),
    response_format: zodResponseFormat(Steps, "steps"),
  });
  return answer.choices[0].message.parsed;
}

async function embed(job) {
  const told = await client(job).embeddings.create({ model: "m", input: job.texts });
  return told.data.map((each) => each.embedding);
}

async function respond(job) {
  const told = await client(job).responses.create({ model: "m", input: job.text });
  return told.output_text;
}

async function* hear_response(job) {
  const question = { model: "m", input: job.text, stream: true };
  for await (const event of await client(job).responses.create(question)) {
    if (event.type === "response.output_text.delta") yield event.delta;
  }
}

await serve({ ask, hear, call, parse, embed, respond, hear_response });
