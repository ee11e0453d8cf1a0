//! The session's timers. A timer that was disarmed or armed again has no effect any more.

use super::*;

/// An extension that is stored before the end of the invitation is heard of within so many.
const HEARTBEATS: u32 = 3;

/// When a call that ends by itself gives way to the next. One that is short, or was short from the beginning, is not left
/// at once: calls that follow on one another like that would soon be used up.
pub(super) fn roll_over_in(expires_in: Duration, before: Duration) -> Duration {
    expires_in.saturating_sub(before).max(expires_in / 2)
}

impl SessionState {
    pub(super) fn duration(&self) -> Duration {
        self.claimed.time_limit(self.config.interview.default_duration())
    }

    pub(super) fn length_of(&self, timer: Timer) -> Duration {
        let interview = &self.config.interview;
        Duration::from_secs(match timer {
            Timer::Absence => return self.absence(),
            Timer::Grace => interview.grace_s,
            Timer::TimeLimit => return self.duration(),
            Timer::MediaAssumed => interview.media_assumed_s,
            Timer::LastWords => interview.last_words_s,
            Timer::AwaitedWords => interview.awaited_words_s,
            Timer::RecordingSettling => interview.recording_settle_s,
            Timer::RollOver => return Duration::from_mins(57),
        })
    }

    /// How long nobody may begin: to the end of the invitation.
    fn absence(&self) -> Duration {
        let interview = &self.config.interview;
        let Some(join_by) = self.join_by else { return Duration::from_secs(interview.absence_timeout_s) };
        let now = self.integrations.clock.now().into();
        let slack = self.config.session.heartbeat_interval() * HEARTBEATS;
        invitation::absence(join_by, now, self.visited, Duration::from_secs(interview.grace_s), slack)
    }

    /// Told with each heartbeat, whether it has changed or not.
    pub(super) async fn keep_until(&mut self, join_by: Timestamp, myself: &ActorRef<SessionMsg>) {
        if self.join_by.replace(join_by) != Some(join_by) {
            self.decide(Event::InvitationMoved, myself).await;
        }
    }

    /// Until when a candidate who is gone is waited for: the agreed time goes on meanwhile.
    pub(super) fn return_by(&self, grace: Duration) -> Timestamp {
        let left = self.time_limit.map_or(grace, |at| grace.min(at.saturating_duration_since(Instant::now())));
        Timestamp::from(self.integrations.clock.now()) + time::Duration::try_from(left).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gives_way_before_it_ends_and_a_short_one_not_at_once() {
        let before = Duration::from_mins(3);
        for (expires_in, after) in [(3_600, 3_420), (360, 180), (200, 100), (2, 1), (u64::MAX, u64::MAX - 180)] {
            assert_eq!(roll_over_in(Duration::from_secs(expires_in), before), Duration::from_secs(after));
        }
    }
}
