//! The session's timers. A timer that was disarmed or armed again has no effect any more.

use super::*;

impl SessionState {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.claimed.settings.max_duration_s.unwrap_or(self.config.interview.default_duration_s))
    }

    pub(super) fn length_of(&self, timer: Timer) -> Duration {
        let interview = &self.config.interview;
        Duration::from_secs(match timer {
            Timer::Absence => interview.absence_timeout_s,
            Timer::Grace => interview.grace_s,
            Timer::TimeLimit => return self.duration(),
            Timer::MediaAssumed => interview.media_assumed_s,
            Timer::LastWords => interview.last_words_s,
            Timer::AwaitedWords => interview.awaited_words_s,
            Timer::RecordingSettling => interview.recording_settle_s,
            Timer::RollOver => return Duration::from_mins(57),
        })
    }

    /// The agreed time counts from the first call, through crashes and reconnects.
    pub(super) fn arm_time_limit(&mut self, myself: &ActorRef<SessionMsg>) {
        let elapsed = self
            .claimed
            .started_at
            .map_or(Duration::ZERO, |at| (self.integrations.clock.now() - at).try_into().unwrap_or_default());
        let left = self.duration().saturating_sub(elapsed);
        self.time_limit = Some(Instant::now() + left);
        self.arm(Timer::TimeLimit, left, myself);
    }

    pub(super) fn arm(&mut self, timer: Timer, after: Duration, myself: &ActorRef<SessionMsg>) {
        self.armed += 1;
        let (armed, target) = (self.armed, myself.clone());
        let guard = TaskGuard::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = target.cast(SessionMsg::TimerDue { timer, armed });
        });
        self.timers.insert(timer, (armed, guard));
    }

    pub(super) fn time_left_s(&self) -> u64 {
        self.time_limit.map_or(self.duration(), |at| at.saturating_duration_since(Instant::now())).as_secs()
    }
}
