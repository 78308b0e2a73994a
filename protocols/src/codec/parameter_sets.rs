//! The parameter sets of an H.264 or H.265 track: followed in its units, and put in front of random access points that
//! lack them.
//!
//! One video and one sequence parameter set are kept, and picture parameter sets by their ids. They are kept for long,
//! so they are copied out of the buffers they came in.

use super::configuration::{Configuration, H264, H265};
use super::{h264, h265};
use crate::limits::{PARAMETER_SET_BYTES_MAX, PICTURE_PARAMETER_SETS_MAX};
use crate::unit::Parts;
use bytes::Bytes;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Video,
    Sequence,
    Picture(u8),
}

/// The state of one track.
#[derive(Clone, Debug)]
pub(super) struct ParameterSets {
    is_h265: bool,
    vps: Option<Bytes>,
    sps: Option<Bytes>,
    pps: Vec<(u8, Bytes)>,
}

impl ParameterSets {
    pub(super) fn new(is_h265: bool) -> ParameterSets {
        ParameterSets { is_h265, vps: None, sps: None, pps: Vec::new() }
    }

    /// Takes over what was announced.
    pub(super) fn announced(&mut self, configuration: &Configuration) {
        let sets: Parts = match configuration {
            Configuration::H264(H264 { sps, pps }) => [sps].into_iter().chain(pps).cloned().collect(),
            Configuration::H265(H265 { vps, sps, pps }) => {
                [vps, sps].into_iter().chain(pps).cloned().collect()
            }
            _ => return,
        };
        self.follow(&sets);
    }

    fn set(&self, unit: &[u8]) -> Option<Set> {
        if self.is_h265 {
            match h265::kind(unit) {
                h265::VPS => Some(Set::Video),
                h265::SPS => Some(Set::Sequence),
                h265::PPS => h265::picture_parameter_set_id(unit).map(Set::Picture),
                _ => None,
            }
        } else {
            match h264::kind(unit) {
                h264::SPS if unit.len() >= 4 => Some(Set::Sequence),
                h264::PPS => h264::picture_parameter_set_id(unit).map(Set::Picture),
                _ => None,
            }
        }
    }

    /// Follows the sets among the parts; whether one changed. A changed sequence parameter set takes the place of all
    /// picture parameter sets if others come with it.
    pub(super) fn follow(&mut self, parts: &Parts) -> bool {
        let (mut changed, mut stale, mut has_sequence) = (false, false, false);
        for unit in parts.iter().filter(|unit| unit.len() <= PARAMETER_SET_BYTES_MAX) {
            match self.set(unit) {
                Some(Set::Video) => changed |= replace(&mut self.vps, unit),
                // Of several in one unit the first counts.
                Some(Set::Sequence) if !has_sequence => {
                    has_sequence = true;
                    stale = replace(&mut self.sps, unit);
                    changed |= stale;
                }
                Some(Set::Picture(id)) => {
                    if stale {
                        self.pps.clear();
                        stale = false;
                    }
                    changed |= self.picture(id, unit);
                }
                Some(Set::Sequence) | None => {}
            }
        }
        changed
    }

    fn picture(&mut self, id: u8, unit: &Bytes) -> bool {
        match self.pps.iter().position(|(known, _)| *known == id) {
            Some(at) if self.pps[at].1 == unit => return false,
            Some(at) => self.pps[at].1 = Bytes::copy_from_slice(unit),
            None if self.pps.len() < PICTURE_PARAMETER_SETS_MAX => {
                self.pps.push((id, Bytes::copy_from_slice(unit)));
            }
            None => return false,
        }
        true
    }

    /// The configuration, once a set of each kind is known.
    pub(super) fn configuration(&self) -> Option<Configuration> {
        let sps = self.sps.clone()?;
        let pps = self.pps.iter().map(|(_, unit)| unit.clone()).collect::<Vec<_>>();
        if pps.is_empty() {
            return None;
        }
        Some(if self.is_h265 {
            Configuration::H265(H265 { vps: self.vps.clone()?, sps, pps })
        } else {
            Configuration::H264(H264 { sps, pps })
        })
    }

    /// Puts the known sets in front of a unit that lacks a set of any kind; does nothing while they are not known.
    pub(super) fn complete(&self, parts: &mut Parts) {
        let (mut video, mut sequence, mut picture) = (!self.is_h265, false, false);
        for unit in parts.iter() {
            match self.set(unit) {
                Some(Set::Video) => video = true,
                Some(Set::Sequence) => sequence = true,
                Some(Set::Picture(_)) => picture = true,
                None => {}
            }
        }
        let known = self.sps.is_some() && !self.pps.is_empty() && (self.vps.is_some() || !self.is_h265);
        if video && sequence && picture || !known {
            return;
        }
        let sets = self.vps.iter().chain(&self.sps).chain(self.pps.iter().map(|(_, unit)| unit)).cloned();
        let rest = parts.iter().filter(|unit| self.set(unit).is_none()).cloned();
        *parts = sets.chain(rest).collect();
    }
}

/// Puts a copy of `unit` in its place; whether it is another one.
fn replace(known: &mut Option<Bytes>, unit: &Bytes) -> bool {
    if known.as_ref() == Some(unit) {
        return false;
    }
    *known = Some(Bytes::copy_from_slice(unit));
    true
}

/// `found` in an `Arc`, or the one there is while it is equal.
pub(super) fn keep(known: &mut Option<Arc<Configuration>>, found: Configuration) -> bool {
    if known.as_deref() == Some(&found) {
        return false;
    }
    *known = Some(Arc::new(found));
    true
}
