/** What is wrong with one field of a request. */
export interface FieldProblem {
  field: string;
  message: string;
}

/** RFC 9457 problem details, with the fields the API adds to them. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string | null;
  request_id: string | null;
  /** Absent where no field is at fault. */
  errors?: FieldProblem[];
  /** Of `plan_language_missing`: those that the plan has. */
  languages?: string[];
}

/** The server answered, and said no. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly problem: Problem,
    /** From `Retry-After`, when the server sent one. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(problem.detail ?? problem.title);
  }

  get status(): number {
    return this.problem.status;
  }

  get code(): string {
    return this.problem.code;
  }

  get fields(): FieldProblem[] {
    return this.problem.errors ?? [];
  }

  get requestId(): string | null {
    return this.problem.request_id;
  }

  /** Whether the very same call may succeed a little later. */
  get retryable(): boolean {
    return this.status >= 500 || this.status === 408 || this.status === 425 || this.status === 429;
  }
}

/** No answer arrived: no network, a refused connection, or the deadline passed. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
  readonly retryable = true;

  constructor(
    readonly kind: 'unreachable' | 'timeout',
    cause?: unknown,
  ) {
    super(kind === 'timeout' ? 'the server did not answer in time' : 'the server could not be reached', {
      cause,
    });
  }
}

export function isRetryable(error: unknown): boolean {
  return (error instanceof ApiError || error instanceof NetworkError) && error.retryable;
}

/** Nobody is signed in, so there was no use in asking. */
export function signedOut(): ApiError {
  return new ApiError({
    type: 'about:blank',
    title: 'sign in first',
    status: 401,
    code: 'signed_out',
    detail: null,
    request_id: null,
  });
}

/** Reads an error answer. Bodies that are no problem document (a proxy's HTML page) still give a typed error. */
export async function readProblem(response: Response): Promise<ApiError> {
  const fallback: Problem = {
    type: 'about:blank',
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    code: `http_${response.status}`,
    detail: null,
    request_id: response.headers.get('x-request-id'),
  };
  let problem = fallback;
  try {
    const body: unknown = JSON.parse(await response.text());
    if (typeof body === 'object' && body !== null) {
      const fields = body as Record<string, unknown>;
      problem = { ...fallback, ...pickStrings(fields), ...pickErrors(fields['errors']), ...pickLanguages(fields['languages']) };
    }
  } catch {
    // Not JSON: the status line is all there is to say.
  }
  return new ApiError(problem, retryAfter(response.headers.get('retry-after')));
}

function pickStrings(body: Record<string, unknown>): Partial<Problem> {
  const picked: Record<string, string> = {};
  for (const key of ['type', 'title', 'code', 'detail', 'request_id']) {
    const value = body[key];
    if (typeof value === 'string' && value !== '') picked[key] = value;
  }
  return picked;
}

function pickErrors(errors: unknown): Pick<Problem, 'errors'> {
  if (!Array.isArray(errors)) return {};
  const isOne = (each: unknown): each is FieldProblem =>
    typeof each === 'object' && each !== null && typeof (each as FieldProblem).field === 'string' &&
    typeof (each as FieldProblem).message === 'string';
  return { errors: errors.filter(isOne) };
}

function pickLanguages(languages: unknown): Pick<Problem, 'languages'> {
  return Array.isArray(languages) ? { languages: languages.filter((each) => typeof each === 'string') } : {};
}

/** Milliseconds that a `Retry-After` header asks for. */
export function retryAfter(value: string | null): number | null {
  if (value === null) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
