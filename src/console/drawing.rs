//! The drawing of a line: modules above and below its lanes, tubes on them. Without inline style or
//! script; colours are those of the stylesheet. Not read out: the page says the same in words.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    page::{Tone, of_tube},
    track::{LanePicture, ModulePicture, Moving, Picture, condition},
    words::Words,
};

/// Units of the drawing; the stylesheet says how large one is.
const WIDTH: usize = 1_200;
/// Place for the names of lanes.
const LEFT: usize = 150;
const MODULE_HEIGHT: usize = 92;
const LANE_HEIGHT: usize = 34;
const GAP: usize = 14;
/// Tubes closer than this are one mark with their count.
const MARK_WIDTH: usize = 30;

/// Where things are.
struct Layout {
    columns: usize,
    lanes: usize,
}

impl Layout {
    fn column_width(&self) -> usize {
        (WIDTH - LEFT) / self.columns.max(1)
    }

    fn x(&self, module: usize) -> usize {
        LEFT + (module / 2) * self.column_width()
    }

    fn center(&self, module: usize) -> usize {
        self.x(module) + self.column_width() / 2
    }

    const fn lane_y(lane: usize) -> usize {
        GAP + MODULE_HEIGHT + GAP + lane * LANE_HEIGHT
    }

    const fn below(&self) -> usize {
        Self::lane_y(self.lanes) + GAP
    }

    const fn height(&self) -> usize {
        self.below() + MODULE_HEIGHT + GAP
    }
}

/// Draws a line.
pub(super) fn of(words: Words, picture: &Picture) -> Markup {
    let layout = Layout {
        columns: picture.modules.len().div_ceil(2),
        lanes: picture.lanes.len(),
    };
    let view = format!("0 0 {WIDTH} {}", layout.height());
    html! {
        figure.line-map {
            div.wide tabindex="0" role="group" aria-label=(words.t("track.drawing")) {
                svg viewBox=(view) xmlns="http://www.w3.org/2000/svg" aria-hidden="true" {
                    @for (at, lane) in picture.lanes.iter().enumerate() { (draw_lane(words, at, lane)) }
                    @for (at, module) in picture.modules.iter().enumerate() { (draw_module(words, &layout, at, module)) }
                    @for mark in marks(&layout, &picture.moving) { (draw_mark(&mark)) }
                }
            }
            figcaption.hint { (words.t("track.caption")) }
        }
    }
}

fn draw_lane(words: Words, at: usize, lane: &LanePicture) -> Markup {
    let y = Layout::lane_y(at);
    let arrow = if lane.is_backward { "◀" } else { "▶" };
    let text_y = y + LANE_HEIGHT / 2 + 5;
    html! {
        rect.lane x=(LEFT) y=(y + 3) width=(WIDTH - LEFT) height=(LANE_HEIGHT - 6) rx="6" {}
        text.lane-name x="4" y=(text_y) { (lane.id) " " (words.t(&format!("track.class.{}", lane.class))) }
        text.lane-count x=(LEFT - 8) y=(text_y) text-anchor="end" { (lane.tubes) "/" (lane.capacity) }
        text.arrow x=(LEFT + 8) y=(text_y) { (arrow) }
        text.arrow x=(WIDTH - 8) y=(text_y) text-anchor="end" { (arrow) }
    }
}

fn draw_module(words: Words, layout: &Layout, at: usize, module: &ModulePicture) -> Markup {
    let is_above = at.is_multiple_of(2);
    let (x, y) = (
        layout.x(at) + 4,
        if is_above { GAP } else { layout.below() },
    );
    let width = layout.column_width().saturating_sub(8);
    let tone = module.tone();
    let class = format!("module {}", tone.class());
    // How full its queue is, or what it keeps.
    let (is, of) = if module.is_end {
        (module.kept, module.capacity.unwrap_or(0))
    } else {
        (module.waiting, module.queue_max)
    };
    let filled = usize::try_from(is)
        .unwrap_or(0)
        .min(usize::try_from(of).unwrap_or(0));
    let share = (filled * width.saturating_sub(12))
        .checked_div(usize::try_from(of).unwrap_or(0))
        .unwrap_or(0);
    html! {
        g class=(class) {
            title { (module.id) ": " (words.t(&format!("track.kind.{}", module.kind))) ", " (condition(words, module)) }
            rect x=(x) y=(y) width=(width) height=(MODULE_HEIGHT) rx="8" {}
            text.module-name x=(x + 8) y=(y + 20) { (module.id) }
            @if tone == Tone::Good { text.soft x=(x + 8) y=(y + 37) { (words.t(&format!("track.kind.{}", module.kind))) } }
            @else { text.module-state x=(x + 8) y=(y + 37) { (tone.symbol()) " " (condition(words, module)) } }
            @if module.is_end {
                text x=(x + 8) y=(y + 56) { (words.t("track.kept")) " " (module.kept) }
            } @else {
                text x=(x + 8) y=(y + 56) { (words.t("track.waiting")) " " (module.waiting) }
                text.soft x=(x + 8) y=(y + 72) { (words.t("track.inside")) " " (module.inside) }
            }
            rect.gauge x=(x + 6) y=(y + MODULE_HEIGHT - 12) width=(width.saturating_sub(12)) height="5" rx="2" {}
            rect.fill x=(x + 6) y=(y + MODULE_HEIGHT - 12) width=(share) height="5" rx="2" {}
        }
    }
}

/// Tubes on one spot of a lane.
struct Mark<'a> {
    x: usize,
    y: usize,
    first: &'a Moving,
    count: usize,
    is_stat: bool,
    is_overdue: bool,
}

fn marks<'a>(layout: &Layout, moving: &'a [Moving]) -> Vec<Mark<'a>> {
    let mut spots: BTreeMap<(usize, usize), Mark<'a>> = BTreeMap::new();
    for tube in moving {
        let from = layout.center(tube.from);
        // Whoever nobody says the aim of has just left.
        let to = tube.to.map_or(from, |to| layout.center(to));
        let done = usize::try_from(tube.permille).unwrap_or(0);
        let way = from.abs_diff(to) * done / 1_000;
        let x = if to >= from { from + way } else { from - way };
        let spot = (tube.lane, x / MARK_WIDTH);
        let mark = spots.entry(spot).or_insert_with(|| Mark {
            x: spot.1 * MARK_WIDTH + MARK_WIDTH / 2,
            y: Layout::lane_y(tube.lane.min(layout.lanes.saturating_sub(1))) + LANE_HEIGHT / 2,
            first: tube,
            count: 0,
            is_stat: false,
            is_overdue: false,
        });
        mark.count += 1;
        mark.is_stat |= tube.is_stat;
        mark.is_overdue |= tube.is_overdue;
    }
    spots.into_values().collect()
}

fn draw_mark(mark: &Mark<'_>) -> Markup {
    let class = match (mark.is_overdue, mark.is_stat) {
        (true, _) => "mark late",
        (false, true) => "mark stat",
        (false, false) => "mark",
    };
    let symbol = match (mark.is_overdue, mark.is_stat) {
        (true, _) => "!",
        (false, true) => "S",
        (false, false) => "",
    };
    html! {
        @if mark.count == 1 {
            a href=(of_tube(&mark.first.barcode)) tabindex="-1" class=(class) {
                title { (mark.first.barcode) }
                circle cx=(mark.x) cy=(mark.y) r="11" {}
                @if !symbol.is_empty() { text x=(mark.x) y=(mark.y + 5) text-anchor="middle" { (symbol) } }
            }
        } @else {
            g class=(class) {
                rect x=(mark.x - 15) y=(mark.y - 12) width="30" height="24" rx="11" {}
                text x=(mark.x) y=(mark.y + 5) text-anchor="middle" { (mark.count) (symbol) }
            }
        }
    }
}
