export { Backoff, type BackoffOptions } from './backoff';
export { Call, type CallEvents, type CallOptions } from './call/call';
export { Captions, type Caption, type CaptionsState } from './call/captions';
export { parseVoiceEvent, type VoiceEvent, type VoiceItem } from './call/voice_events';
export { closeAction, stopReason, type CloseAction, type StopReason } from './connection/close_codes';
export {
  InterviewConnection,
  type ConnectionEvents,
  type ConnectionOptions,
  type ConnectionState,
} from './connection/connection';
export {
  IndexedDbEntryStore,
  MemoryEntryStore,
  type EntryStore,
  type PendingUpdate,
} from './connection/entry_store';
export type { Refused } from './connection/relay';
export { Emitter, type Unsubscribe } from './emitter';
export { PageFault, describe, isProgramError, supportCode } from './fault';
export { Microphone, type MicrophoneOptions, type MicrophoneStatus } from './devices/microphone';
export { InterviewApi, type InterviewApiOptions, type ObserveHandlers, type SessionEvent } from './http/api';
export * from './http/directory';
export * from './http/plans';
export { ApiError, NetworkError, isRetryable, retryAfter, type FieldProblem, type Problem } from './http/errors';
export { Interview, type InterviewEvents, type InterviewOptions } from './interview/interview';
export { isFinal, missingConsents, type CallEnd, type FailureCode, type InterviewState } from './interview/state';
export type { RecordingStatus } from './interview/recording';
export type { TypedAnswer, TypedStatus } from './interview/typed';
export { Leftovers, type LeftoverStatus } from './recorder/leftovers';
export { Mixer, loudness, type Levels, type MixerInput } from './recorder/mixer';
export { chooseMimeType } from './recorder/mime';
export { Recorder, type RecorderEvents, type RecorderOptions } from './recorder/recorder';
export {
  IndexedDbRecordingVault,
  type KeptTake,
  type Leftover,
  type RecordingVault,
  type UploadTarget,
} from './recorder/recording_vault';
export {
  PartUploader,
  type UploadFailure,
  type UploadOutcome,
  type UploaderEvents,
  type UploaderOptions,
} from './recorder/uploader';
export { limitedBy, type Limit } from './signals';
export { DeadlineError, sleep, withDeadline } from './time';
export type * from './types';
