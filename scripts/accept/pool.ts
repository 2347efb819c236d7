// Shares tasks out to child processes: each runs one worker script, takes a task at a time, and keeps its compiled
// engine for the next. A child that dies fails the task it had, and another takes its place.
import { type ChildProcess, fork, type Serializable } from 'node:child_process';

export type Reply<R> = { readonly result: R } | { readonly error: string };

/**
 * Runs every task in one of at most `jobs` children at a time; a task is asked for when a child is free for it.
 * @param worker the worker script, which calls `answer`
 * @param onReply told of each task as it is done, in the order in which that happens
 */
export async function shareOut<T extends Serializable, R>(
  worker: URL,
  tasks: Iterable<T>,
  jobs: number,
  onReply: (task: T, reply: Reply<R>) => void,
): Promise<void> {
  const open = tasks[Symbol.iterator]();
  const next = (): T | undefined => {
    const { value, done } = open.next();
    return done === true ? undefined : value;
  };
  const runner = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let task = next(); task !== undefined; task = next()) {
      child = child?.connected ? child : fork(worker);
      onReply(task, (await ask(child, task)) as Reply<R>);
    }
    child?.disconnect();
  };
  await Promise.all(Array.from({ length: jobs }, runner));
}

function ask(child: ChildProcess, task: unknown): Promise<Reply<unknown>> {
  return new Promise((done) => {
    const onMessage = (reply: unknown): void => {
      child.off('exit', onExit);
      done(reply as Reply<unknown>);
    };
    const onExit = (code: number | null, signal: string | null): void => {
      child.off('message', onMessage);
      done({ error: `the worker ended with ${signal ?? code}` });
    };
    child.once('message', onMessage);
    child.once('exit', onExit);
    child.send(task as object);
  });
}

/** The worker's side: does what it is sent until the other side hangs up. @param work takes what `shareOut` shares out */
export function answer(work: (task: never) => unknown): void {
  process.on('message', (task) => {
    process.send?.(replyTo(() => work(task as never)));
  });
}

function replyTo(work: () => unknown): Reply<unknown> {
  try {
    return { result: work() };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** The value of `--jobs`. */
export function jobsOption(text: string | undefined): number {
  const jobs = Number(text ?? 1);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs takes a number of processes, not '${text}'`);
  return jobs;
}
