//! What feedback says of loss.

/// How many feedback packets count: as many as mediasoup's.
const LEN: usize = 24;

/// The ratio of lost packets over the last 24 feedback packets. Of n, the oldest weighs 1 and the newest n, so that it
/// follows a change and doesn't jump by it.
#[derive(Clone, Debug, Default)]
pub struct LossHistory {
    /// A ring.
    ratios: [f32; LEN],
    pushed: usize,
}

impl LossHistory {
    /// A feedback packet reports `total` packets, of which `lost` have not come. One about none doesn't count.
    pub fn push(&mut self, total: usize, lost: usize) {
        if total > 0 {
            self.ratios[self.pushed % LEN] = lost as f32 / total as f32;
            self.pushed += 1;
        }
    }

    /// The ratio, 0 to 1; 0 before the first feedback packet.
    pub fn ratio(&self) -> f64 {
        let len = self.pushed.min(LEN);
        let oldest_first = (self.pushed - len..self.pushed).map(|index| f64::from(self.ratios[index % LEN]));
        let weighted: f64 = oldest_first.zip(1..).map(|(ratio, weight)| ratio * f64::from(weight)).sum();
        let weights = len * (len + 1) / 2;
        weighted / weights.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_feedback_weighs_more_and_old_feedback_nothing() {
        let mut history = LossHistory::default();
        assert_eq!(history.ratio(), 0.0);
        history.push(0, 0);
        assert_eq!(history.ratio(), 0.0);
        for (total, lost) in [(10, 5), (4, 0), (8, 2)] {
            history.push(total, lost);
        }
        // (1 * 1/2 + 2 * 0 + 3 * 1/4) / 6
        assert!((history.ratio() - 1.25 / 6.0).abs() < 1e-6, "{}", history.ratio());
        for _ in 0..23 {
            history.push(1, 0);
        }
        assert!((history.ratio() - 0.25 / 300.0).abs() < 1e-6, "the last of the three is the oldest of 24");
        history.push(1, 0);
        assert_eq!(history.ratio(), 0.0);
    }
}
