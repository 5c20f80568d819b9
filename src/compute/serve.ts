import * as v from 'valibot';
import {
  ProgressType,
  ResponseError,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { InputError, messageOf } from '../core/errors';
import {
  COMPUTE,
  COMPUTE_ERROR,
  envelope,
  type ComputeMethod,
  type ComputeParams,
  type ComputeResult,
  type Progress,
} from '../protocol/compute';
import { CancelledError, Job } from './job';

/** What answers each method. */
export type Methods = {
  readonly [M in ComputeMethod]: (
    params: ComputeParams<M>,
    job: Job,
  ) => ComputeResult<M> | Promise<ComputeResult<M>>;
};

/**
 * Answers the methods of the protocol on a connection: parameters are checked, progress is sent, and errors go back as
 * sentences; the stack of an unexpected one goes to `log`.
 */
export function serve(connection: MessageConnection, methods: Methods, log: (text: string) => void): void {
  const answer = <M extends ComputeMethod>(method: M): void => {
    const schema = envelope(COMPUTE[method].params);
    connection.onRequest(method, async (raw: unknown, token: CancellationToken) => {
      try {
        const { progress, params } = checked(schema, raw, method);
        const job = new Job(token, reporter(connection, progress));
        job.requireWanted();
        return await methods[method](params as ComputeParams<M>, job);
      } catch (error) {
        throw responseError(error, method, log);
      }
    });
  };
  for (const method of Object.keys(COMPUTE) as ComputeMethod[]) answer(method);
}

const PROGRESS = new ProgressType<Progress>();

function reporter(connection: MessageConnection, token: number | null): (progress: Progress) => void {
  if (token === null) return () => {};
  // A report that cannot be sent concerns an editor that is gone; the process ends with it.
  return (progress) => void connection.sendProgress(PROGRESS, token, progress).catch(() => {});
}

function checked<S extends v.GenericSchema>(schema: S, raw: unknown, method: string): v.InferOutput<S> {
  const result = v.safeParse(schema, raw);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue)?.replace(/^params\.?/, '');
  throw new ResponseError(
    COMPUTE_ERROR.params,
    `The request "${method}" has a wrong ${field ? `parameter ${field}` : 'form'}: ${issue.message}.`,
  );
}

function responseError(error: unknown, method: string, log: (text: string) => void): ResponseError<void> {
  if (error instanceof ResponseError) return error as ResponseError<void>;
  if (error instanceof CancelledError) return new ResponseError(COMPUTE_ERROR.cancelled, error.message);
  if (error instanceof InputError) return new ResponseError(COMPUTE_ERROR.input, error.message);
  log(`${method} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return new ResponseError(
    COMPUTE_ERROR.unexpected,
    `The compute process could not answer "${method}": ${messageOf(error)}. The log tells where it went wrong.`,
  );
}
