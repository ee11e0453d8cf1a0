//! The interviewer's voice: Ogg Opus files made ahead of time (`assets/make_clips.sh`),
//! taken apart into the packets that travel one per RTP packet.

use std::sync::Arc;
use std::time::Duration;

/// What one Opus packet of ours lasts; also the rhythm of the RTP stream.
pub const PACKET: Duration = Duration::from_millis(20);
/// An Opus packet of 20 ms that says nothing.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// A piece of speech, ready to be sent.
#[derive(Clone, Debug, Default)]
pub struct Clip {
    packets: Arc<[Arc<[u8]>]>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClipError {
    #[error("not an ogg page at byte {0}")]
    NotAPage(usize),
    #[error("the page at byte {0} is cut off")]
    CutOff(usize),
    #[error("the stream does not begin with an opus header")]
    NoHeader,
}

impl Clip {
    pub fn from_ogg(bytes: &[u8]) -> Result<Self, ClipError> {
        let packets = ogg_packets(bytes)?;
        if !packets.first().is_some_and(|packet| packet.starts_with(b"OpusHead")) {
            return Err(ClipError::NoHeader);
        }
        // The second packet holds the comments.
        Ok(Self { packets: packets.into_iter().skip(2).map(Arc::from).collect() })
    }

    pub fn packets(&self) -> &[Arc<[u8]>] {
        &self.packets
    }

    pub fn duration(&self) -> Duration {
        PACKET * u32::try_from(self.packets.len()).unwrap_or(u32::MAX)
    }

    /// One clip after the other.
    pub fn joined(clips: &[Self]) -> Self {
        Self { packets: clips.iter().flat_map(|clip| clip.packets.iter().cloned()).collect() }
    }

    /// As long as asked for: from the beginning again where it is too short.
    pub fn repeated(&self, length: Duration) -> Self {
        let count = usize::try_from(length.as_millis() / PACKET.as_millis()).unwrap_or(usize::MAX);
        Self { packets: self.packets.iter().cycle().take(count).cloned().collect() }
    }

    /// The beginning only.
    pub fn shortened(&self, length: Duration) -> Self {
        let count = usize::try_from(length.as_millis() / PACKET.as_millis()).unwrap_or(usize::MAX);
        Self { packets: self.packets.iter().take(count).cloned().collect() }
    }
}

/// The packets of the (single) logical stream of an Ogg file, RFC 3533.
fn ogg_packets(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ClipError> {
    const HEADER: usize = 27;
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let page = &bytes[at..];
        if !page.starts_with(b"OggS") {
            return Err(ClipError::NotAPage(at));
        }
        let segments = usize::from(*page.get(HEADER - 1).ok_or(ClipError::CutOff(at))?);
        let lacing = page.get(HEADER..HEADER + segments).ok_or(ClipError::CutOff(at))?;
        let mut from = HEADER + segments;
        for &length in lacing {
            let to = from + usize::from(length);
            packet.extend_from_slice(page.get(from..to).ok_or(ClipError::CutOff(at))?);
            from = to;
            // A segment of 255 bytes says that the packet goes on.
            if length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        at += from;
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_ogg() {
        assert_eq!(Clip::from_ogg(b"RIFF").unwrap_err(), ClipError::NotAPage(0));
        assert_eq!(Clip::from_ogg(b"").unwrap_err(), ClipError::NoHeader);
        assert_eq!(Clip::from_ogg(b"OggS").unwrap_err(), ClipError::CutOff(0));
    }

    #[test]
    fn joins_and_shortens() {
        let clip = Clip { packets: (0..30u8).map(|n| Arc::from([n].as_slice())).collect() };
        let joined = Clip::joined(&[clip.clone(), clip]);
        assert_eq!(joined.duration(), Duration::from_millis(1_200));
        assert_eq!(joined.shortened(Duration::from_millis(200)).packets().len(), 10);
    }
}
