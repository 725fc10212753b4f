//! Video of steps.

use super::doc::{At, Report};
use super::session::means;
use crate::scenario::file::step::MediaWord;
use crate::scenario::file::video::{PictureFile, ProfileWord, VideoCodecWord, VideoFile};
use crate::scenario::plan::{Size, Step, Video, VideoChange, VideoCodec, VideoWish};
use crate::sip::session::Means;

/// What is written at a call; `None` for no video.
pub(super) fn of_call(
    file: Option<&VideoFile>,
    media: MediaWord,
    at: At<'_>,
    report: &mut Report,
) -> Option<Box<VideoWish>> {
    let wish = match file? {
        VideoFile::Plain(false) => return None,
        VideoFile::Plain(true) => VideoWish::default(),
        VideoFile::Told(file) => {
            if file.by.is_some() {
                report.add(at.key("by"), "the call begins with its video, which nothing else asks for", "take it out");
            }
            change(file, at, report).applied_to(&VideoWish::default())
        }
    };
    if media == MediaWord::None {
        report.add(at, "video of a call without media", "take `media: none` out, or the video");
    }
    Some(Box::new(wish))
}

/// `video` as a step.
pub(super) fn step(file: &VideoFile, at: At<'_>, report: &mut Report) -> Step {
    Step::Video(match file {
        VideoFile::Plain(on) => Video { change: on.then(VideoChange::default), by: Means::Reinvite },
        VideoFile::Told(file) => {
            Video { change: Some(change(file, at, report)), by: means(file.by.unwrap_or_default()) }
        }
    })
}

fn change(file: &PictureFile, at: At<'_>, report: &mut Report) -> VideoChange {
    let codecs = file.codecs.as_ref().map(|words| {
        let mut codecs: Vec<VideoCodec> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let codec = match word {
                VideoCodecWord::VP8 => VideoCodec::Vp8,
                VideoCodecWord::H264 => VideoCodec::H264,
            };
            if codecs.contains(&codec) {
                report.add(at.key("codecs").index(index), "the codec is there already", "name each once");
            }
            codecs.push(codec);
        }
        if codecs.is_empty() && !at.doc().lossy {
            report.add(at.key("codecs"), "no codec", "as codecs: [VP8, H264]");
        }
        codecs
    });
    let size = file.size.as_deref().and_then(|text| {
        let size = size(text);
        if size.is_none() {
            let help = "as size: 1280x720, with even numbers from 16 to 4096";
            report.add(at.key("size"), format!("`{text}` is no size of a picture"), help);
        }
        size
    });
    let avpf = file.profile.map(|profile| profile == ProfileWord::Avpf);
    VideoChange { codecs: codecs.filter(|codecs| !codecs.is_empty()), size, fps: file.fps, kbps: file.kbps, avpf }
}

fn size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side: &u16| (16..=4096).contains(side) && side.is_multiple_of(2));
    Some(Size { width: side(width)?, height: side(height)? })
}
