// Vercel's AI SDK with its provider for OpenAI.

import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { serve } from "./jobs.mjs";

const Steps = z.object({ question: z.string(), steps: z.array(z.string()) });

const openai = ({ url, key }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const asked = (job) => ({ model: openai(job).chat("m"), prompt: job.text, maxRetries: 0 });
const asked_for_response = (job) => ({ ...asked(job), model: openai(job).responses("m") });

const ask = async (job) => (await generateText(asked(job))).text;

async function* pieces(question) {
  const stream = streamText({ ...question, onError: () => {} });
  for await (const part of stream.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") yield part.text;
  }
}

const hear = (job) => pieces(asked(job));

// A turn with a tool, and the turn after it.
async function call(job) {
  const look_up = tool({
    description: "Look something up.",
    inputSchema: z.object({ about: z.string() }),
    execute: async ({ about }) => `All there is on ${about}.`,
  });
  const told = await generateText({
    ...asked(job),
    tools: { look_up },
    stopWhen: stepCountIs(2),
  });
  const calls = told.steps[0].toolCalls.map((each) => ({
    name: each.toolName,
    arguments: each.input,
  }));
  return { calls, answer: told.text };
}

async function parse(job) {
  const told = await generateText({ ...asked(job), output: Output.object({ schema: Steps }) });
  return told.output;
}

async function embed(job) {
  const told = await embedMany({
    model: openai(job).embedding("m"),
    values: job.texts,
    maxRetries: 0,
  });
  return told.embeddings;
}

const respond = async (job) => (await generateText(asked_for_response(job))).text;
const hear_response = (job) => pieces(asked_for_response(job));

await serve({ ask, hear, call, parse, embed, respond, hear_response });
