//! The calls in flight: one slot each, found by the id of the call.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use tonic::Status;

/// The lower bits of an id are its slot's number, the upper ones count the slot's uses: a slot
/// would have to be used 2^48 times before one of its ids comes again.
const INDEX_BITS: u32 = 16;

/// A table of calls. It never has more slots than there were calls in flight at once.
#[derive(Debug)]
pub(crate) struct Slots<Q, A> {
    slots: Vec<Slot<Q, A>>,
    free: Vec<u16>,
    /// The slots whose requests are not sent yet, the longest waiting first.
    queue: VecDeque<u16>,
}

#[derive(Debug)]
struct Slot<Q, A> {
    /// The use that the slot is in, or has ended when it is free; from 1.
    uses: u64,
    state: State<Q, A>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum State<Q, A> {
    Free,
    Queued(Q),
    Sent,
    Done(Result<A, Status>),
}

/// No call waits for an answer under this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NobodyWaits;

// === impl Slots ===

impl<Q, A> Slots<Q, A> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Queues a request, and gives its id; `None` where all 65,536 slots are taken.
    pub(crate) fn insert(&mut self, request: Q) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u16::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot::new());
                index
            }
        };
        let slot = &mut self.slots[usize::from(index)];
        slot.uses = (slot.uses + 1) & (u64::MAX >> INDEX_BITS);
        // An id of 0 is no id.
        slot.uses = slot.uses.max(1);
        slot.state = State::Queued(request);
        self.queue.push_back(index);
        Some(slot.uses << INDEX_BITS | u64::from(index))
    }

    /// Takes the request that has waited the longest, with its id.
    pub(crate) fn next_request(&mut self) -> Option<(u64, Q)> {
        let index = self.queue.pop_front()?;
        let slot = &mut self.slots[usize::from(index)];
        let id = slot.uses << INDEX_BITS | u64::from(index);
        match std::mem::replace(&mut slot.state, State::Sent) {
            State::Queued(request) => Some((id, request)),
            _ => None,
        }
    }

    /// Gives a call its answer, and whom to wake for it.
    pub(crate) fn answer(&mut self, id: u64, answer: A) -> Result<Option<Waker>, NobodyWaits> {
        let sent = |slot: &&mut Slot<Q, A>| matches!(slot.state, State::Sent);
        let slot = self.find(id).filter(sent).ok_or(NobodyWaits)?;
        slot.state = State::Done(Ok(answer));
        Ok(slot.waker.take())
    }

    /// Ends every call that has no answer, and gives whom to wake for it.
    pub(crate) fn fail_all(&mut self, status: &Status) -> Vec<Waker> {
        self.queue.clear();
        let open = |state: &State<Q, A>| matches!(state, State::Queued(_) | State::Sent);
        let open = self.slots.iter_mut().filter(|slot| open(&slot.state));
        open.filter_map(|slot| {
            slot.state = State::Done(Err(status.clone()));
            slot.waker.take()
        })
        .collect()
    }

    /// The call's end, if it is there; its slot is free with it.
    pub(crate) fn poll(&mut self, id: u64, cx: &Context<'_>) -> Poll<Result<A, Status>> {
        let Some(slot) = self.find(id) else {
            return Poll::Ready(Err(Status::internal("the call has ended before")));
        };
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Done(result) => {
                self.free.push(index(id));
                Poll::Ready(result)
            }
            open => {
                slot.state = open;
                match &mut slot.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Frees the slot of a call that nobody waits for any more, unless it is free already.
    pub(crate) fn remove(&mut self, id: u64) {
        let Some(slot) = self.find(id) else { return };
        slot.waker = None;
        let state = std::mem::replace(&mut slot.state, State::Free);
        self.free.push(index(id));
        if matches!(state, State::Queued(_)) {
            self.queue.retain(|queued| *queued != index(id));
        }
    }

    /// The slot that is in the use of this id.
    fn find(&mut self, id: u64) -> Option<&mut Slot<Q, A>> {
        let slot = self.slots.get_mut(usize::from(index(id)))?;
        let in_use = slot.uses == id >> INDEX_BITS && !matches!(slot.state, State::Free);
        in_use.then_some(slot)
    }
}

const fn index(id: u64) -> u16 {
    (id & 0xffff) as u16
}

// === impl Slot ===

impl<Q, A> Slot<Q, A> {
    const fn new() -> Self {
        Self {
            uses: 0,
            state: State::Free,
            waker: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = Slots<char, char>;

    fn polled(slots: &mut Table, id: u64) -> Option<Result<char, tonic::Code>> {
        match slots.poll(id, &Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result.map_err(|status| status.code())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_call_goes_from_its_queue_to_its_answer_and_leaves_its_slot_free() {
        let mut slots = Table::new();
        let id = slots.insert('a').unwrap();
        assert_ne!(id, 0);
        assert_eq!(slots.answer(id, 'x').unwrap_err(), NobodyWaits);
        assert_eq!(slots.next_request(), Some((id, 'a')));
        assert_eq!(slots.next_request(), None);
        assert_eq!(polled(&mut slots, id), None);
        assert!(slots.answer(id, 'x').unwrap().is_some());
        assert_eq!(slots.answer(id, 'y').unwrap_err(), NobodyWaits);
        assert_eq!(polled(&mut slots, id), Some(Ok('x')));
        assert_eq!(slots.in_flight(), 0);
        slots.remove(id);
        assert_eq!(slots.in_flight(), 0);
    }

    #[test]
    fn a_slot_that_is_used_again_takes_no_answer_of_its_last_use() {
        let mut slots = Table::new();
        let first = slots.insert('a').unwrap();
        slots.next_request();
        slots.remove(first);
        let second = slots.insert('b').unwrap();
        slots.next_request();
        assert_eq!(index(first), index(second));
        assert_eq!(slots.answer(first, 'x').unwrap_err(), NobodyWaits);
        assert!(slots.answer(second, 'y').unwrap().is_none());
        assert_eq!(polled(&mut slots, second), Some(Ok('y')));
    }

    #[test]
    fn requests_leave_in_their_order_and_without_the_dropped_ones() {
        let mut slots = Table::new();
        let ids: Vec<_> = "abcd".chars().map(|c| slots.insert(c).unwrap()).collect();
        slots.remove(ids[0]);
        slots.remove(ids[2]);
        slots.insert('e').unwrap();
        let sent: String = std::iter::from_fn(|| slots.next_request())
            .map(|(_, request)| request)
            .collect();
        assert_eq!(sent, "bde");
    }

    #[test]
    fn a_million_dropped_calls_take_one_slot_and_no_queue() {
        let mut slots = Table::new();
        for _ in 0..1_000_000 {
            let id = slots.insert('a').unwrap();
            slots.remove(id);
        }
        assert_eq!((slots.slots.len(), slots.free.len()), (1, 1));
        assert_eq!(slots.queue.len(), 0);
    }

    #[test]
    fn the_table_ends_at_65536_calls_and_goes_on_when_one_leaves() {
        let mut slots = Table::new();
        let ids: Vec<_> = (0..65_536).map(|_| slots.insert('a').unwrap()).collect();
        assert_eq!(slots.insert('b'), None);
        slots.remove(ids[65_535]);
        assert!(slots.insert('b').is_some());
    }

    #[test]
    fn the_uses_of_a_slot_go_round_past_zero() {
        let mut slots = Table::new();
        slots.insert('a').unwrap();
        slots.remove(1 << INDEX_BITS);
        slots.slots[0].uses = u64::MAX >> INDEX_BITS;
        assert_eq!(slots.insert('b'), Some(1 << INDEX_BITS));
    }

    #[test]
    fn a_break_ends_what_has_no_answer_and_leaves_what_has_one() {
        let mut slots = Table::new();
        let [answered, sent, queued] = ['a', 'b', 'c'].map(|c| slots.insert(c).unwrap());
        slots.next_request();
        slots.next_request();
        slots.answer(answered, 'x').unwrap();
        assert_eq!(polled(&mut slots, sent), None);
        assert_eq!(polled(&mut slots, queued), None);
        assert_eq!(slots.fail_all(&Status::aborted("")).len(), 2);
        assert_eq!(slots.next_request(), None);
        assert_eq!(polled(&mut slots, answered), Some(Ok('x')));
        for id in [sent, queued] {
            assert_eq!(slots.answer(id, 'y').unwrap_err(), NobodyWaits);
            assert_eq!(polled(&mut slots, id), Some(Err(tonic::Code::Aborted)));
        }
        assert_eq!(slots.in_flight(), 0);
    }
}
