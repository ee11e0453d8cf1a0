//! Finds where one WebSocket frame ends in a byte stream that we only pass on.
//!
//! A proxy may insert its own frame between two frames, never inside one.

/// Opcode, length byte, the longest length, the mask.
const LONGEST_HEADER: usize = 14;

/// Follows one direction of a connection (RFC 6455, 5.2). It keeps a header at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameEdge {
    header: [u8; LONGEST_HEADER],
    /// Bytes of the header that have come.
    known: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
}

impl FrameEdge {
    /// These bytes have passed.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header[self.known] = first;
            self.known += 1;
            bytes = rest;
            if self.known >= 2 && self.known == self.header_len() {
                self.left = self.payload_len();
                self.known = 0;
            }
        }
    }

    /// Whether a frame has just ended.
    pub fn is_reached(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    fn header_len(&self) -> usize {
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    fn payload_len(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        match self.header[1] & 0x7f {
            126 => number(&self.header[2..4]),
            127 => number(&self.header[2..10]),
            short => u64::from(short),
        }
    }
}

/// A close frame of a server, with this code and no reason.
pub fn close_frame(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x88, 2, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x81];
        match payload {
            0..=125 => frame.push(mask | payload as u8),
            126..=0xffff => {
                frame.push(mask | 0x7e);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        // Payload that looks like headers must not be taken for one.
        frame.extend(std::iter::repeat_n(0x81, payload + if masked { 4 } else { 0 }));
        frame
    }

    #[test]
    fn a_close_frame_is_a_frame() {
        let mut edge = FrameEdge::default();
        edge.pass(&close_frame(1012));
        assert!(edge.is_reached());
        assert_eq!(close_frame(1012), [0x88, 0x02, 0x03, 0xf4]);
    }

    proptest! {
        #[test]
        fn only_the_end_of_a_frame_is_an_edge_however_the_bytes_are_cut(
            frames in proptest::collection::vec((prop_oneof![0usize..130, 65_530usize..65_545], any::<bool>()), 1..6),
            cuts in proptest::collection::vec(1usize..5_000, 1..40),
        ) {
            let mut ends = vec![0];
            let mut stream = Vec::new();
            for (payload, masked) in frames {
                stream.extend(frame(payload, masked));
                ends.push(stream.len());
            }
            let (mut edge, mut at, mut cuts) = (FrameEdge::default(), 0, cuts.into_iter().cycle());
            while at < stream.len() {
                let next = (at + cuts.next().unwrap_or(1)).min(stream.len());
                edge.pass(&stream[at..next]);
                at = next;
                prop_assert_eq!(edge.is_reached(), ends.contains(&at), "at {}", at);
            }
        }
    }
}
