"""Our Solana program (onchain/): its instructions, its errors, and the header its C is built with.

The reference's rules where it has them (onchain.md section 9), and the checks it lacks: every
account's owner, size, kind and connection to the session, every signer, every frame number. An
instruction's data is its operation's number in one byte, then a record. Pure.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from importlib import resources

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from awm_jax.encoding import EncodingConfig
from awm_jax.game.frames import SEED_JUMPS, SEED_SHIELD, SEED_STOCKS, SEED_X
from crank.solana import accounts, borsh, chain_image
from crank.solana.accounts import (
    ControllerInput,
    FrameDispute,
    FrameLog,
    FrameWork,
    HiddenState,
    InputBuffer,
    InputHistory,
    PlayerState,
    SessionState,
    WeightShard,
)
from crank.solana.borsh import key, number, record, records
from crank.solana.machine import DIGEST_BYTES
from crank.solana.metas import paying, readonly, signing, writable

ELF = "awm_program.elf"
UNITS = 256
"""Of a game unit, in the record."""


class Error(enum.IntEnum):
    """What the program refuses; the number on chain, and a sentence for people."""

    BAD_INSTRUCTION = 1, "the instruction's data is of no operation, or of another length"
    BAD_ACCOUNTS = 2, "too few accounts, too many, or one of them twice"
    WRONG_OWNER = 3, "an account does not belong to the program"
    WRONG_SIZE = 4, "an account has another size"
    WRONG_KIND = 5, "an account is unused, or of another kind"
    WRONG_SESSION = 6, "an account belongs to another session"
    NOT_WRITABLE = 7, "an account is not writable"
    NOT_SIGNED = 8, "the account that acts did not sign"
    NOT_AUTHORITY = 9, "the signer may not do that in this session"
    IN_USE = 10, "an account is in use already"
    WRONG_STATUS = 11, "the session's status does not allow it"
    OWN_SESSION = 12, "nobody plays against oneself"
    NOT_A_PLAYER = 13, "the signer is no player of this session"
    WRONG_FRAME = 14, "another frame is due"
    INPUTS_CHANGED = 15, "the inputs on chain are not the ones that were used"
    NOT_READY = 16, "an input is missing, and nobody says that the last one is held"
    WRONG_HASH = 17, "the bytes written have another hash"
    OUT_OF_BOUNDS = 18, "a place outside of the account"
    BAD_VALUE = 19, "a value out of its range"
    FINALIZED = 20, "the shard is finalized and never changes"
    NOT_FINALIZED = 21, "the shard is not finalized"
    WRONG_MODEL = 22, "the session plays another model"
    SAME_RESULT = 23, "the frame is right, there is nothing to dispute"
    WRONG_PART = 24, "another part of the frame is due"
    TOO_LARGE = 25, "the world is too large for one transaction; its frames are computed in parts"

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Error:
        made = int.__new__(cls, value)
        made._value_ = value
        made.sentence = sentence
        return made


class Op(enum.IntEnum):
    """The operations."""

    CREATE = 0
    JOIN = 1
    END = 2
    SUBMIT_INPUT = 3
    WRITE_STATE = 4
    COMMIT_FRAME = 5
    CREATE_SHARD = 6
    UPLOAD = 7
    FINALIZE = 8
    RUN_INFERENCE = 9
    CHALLENGE = 10
    RUN_PARTS = 11
    DISPUTE = 12


@dataclasses.dataclass(frozen=True)
class Create:
    """Opens a session; its accounts are zero until then.

    state_size: bytes of one HiddenState slot.
    """

    character: int = number("u8")
    stage: int = number("u8")
    max_frames: int = number("u32")
    seed: int = number("u64")
    d_inner: int = number("u16")
    d_state: int = number("u16")
    num_layers: int = number("u8")
    state_size: int = number("u32")
    model: bytes = key()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class Join:
    character: int = number("u8")


@dataclasses.dataclass(frozen=True)
class SubmitInput:
    """frame: the one it is for, the session's next."""

    frame: int = number("u32")
    controller: ControllerInput = record(ControllerInput)  # noqa: RUF009


@dataclasses.dataclass(frozen=True)
class WriteState:
    """Bytes of the next frame's slot, from `offset` on; the rest of the data."""

    frame: int = number("u32")
    offset: int = number("u32")


@dataclasses.dataclass(frozen=True)
class CommitFrame:
    """Frame 0 is the start, without inputs.

    held: bit p says that player p's last input stands for one that did not come in time.
    digest: sha256 of the frame's slot.
    """

    frame: int = number("u32")
    held: int = number("u8")
    inputs: tuple[ControllerInput, ControllerInput] = records(ControllerInput, 2)
    players: tuple[PlayerState, PlayerState] = records(PlayerState, 2)
    digest: bytes = key()


@dataclasses.dataclass(frozen=True)
class CreateShard:
    index: int = number("u8")
    data_size: int = number("u32")
    data_hash: bytes = key()


@dataclasses.dataclass(frozen=True)
class Upload:
    """Bytes of the shard from `offset` on; the rest of the data."""

    offset: int = number("u32")


@dataclasses.dataclass(frozen=True)
class RunInference:
    frame: int = number("u32")


@dataclasses.dataclass(frozen=True)
class RunParts:
    """Parts `first` to `first + count - 1` of the next frame; `frame_parts.parts` has them all."""

    frame: int = number("u32")
    first: int = number("u32")
    count: int = number("u32")


@dataclasses.dataclass(frozen=True)
class Dispute(RunParts):
    """The same of the last committed frame, computed again."""


ARGUMENTS = {
    Op.CREATE: Create,
    Op.JOIN: Join,
    Op.SUBMIT_INPUT: SubmitInput,
    Op.WRITE_STATE: WriteState,
    Op.COMMIT_FRAME: CommitFrame,
    Op.CREATE_SHARD: CreateShard,
    Op.UPLOAD: Upload,
    Op.RUN_INFERENCE: RunInference,
    Op.RUN_PARTS: RunParts,
    Op.DISPUTE: Dispute,
}
OWN = (HiddenState, InputBuffer, FrameLog, InputHistory)
"""What a session has beside its SessionState, in the order of the instructions' accounts."""


@dataclasses.dataclass(frozen=True)
class Session:
    """A session's addresses: all follow from its SessionState's and the program's."""

    program: Pubkey
    address: Pubkey

    def of(self, cls: type) -> Pubkey:
        """The address of one of its accounts."""
        if cls is SessionState:
            return self.address
        return Pubkey.create_with_seed(self.address, accounts.seed_of(cls), self.program)

    def create(self, player1: Pubkey, args: Create) -> Instruction:
        """The session's own key signs: who made the address makes the session."""
        metas = [paying(self.address), signing(player1), *self._own()]
        return self._make(Op.CREATE, args, metas)

    def join(self, player2: Pubkey, character: int) -> Instruction:
        return self._make(Op.JOIN, Join(character), [writable(self.address), signing(player2)])

    def end(self, who: Pubkey) -> Instruction:
        return self._make(Op.END, None, [writable(self.address), signing(who)])

    def submit_input(self, player: Pubkey, frame: int, pad: ControllerInput) -> Instruction:
        metas = [readonly(self.address), signing(player), writable(self.of(InputBuffer))]
        return self._make(Op.SUBMIT_INPUT, SubmitInput(frame, pad), metas)

    def write_state(self, authority: Pubkey, frame: int, at: int, data: bytes) -> Instruction:
        metas = [readonly(self.address), signing(authority), writable(self.of(HiddenState))]
        return self._make(Op.WRITE_STATE, WriteState(frame, at), metas, data)

    def commit_frame(self, authority: Pubkey, args: CommitFrame) -> Instruction:
        metas = [writable(self.address), signing(authority), *self._own()]
        return self._make(Op.COMMIT_FRAME, args, metas)

    def run_inference(self, who: Pubkey, frame: int, image: Pubkey) -> Instruction:
        """Computes the next frame on chain; anybody may send it."""
        metas = [writable(self.address), signing(who), *self._own(), readonly(image)]
        return self._make(Op.RUN_INFERENCE, RunInference(frame), metas)

    def run_parts(self, who: Pubkey, args: RunParts, shards: Sequence[Pubkey]) -> Instruction:
        """Goes on with the next frame in the session's FrameWork; anybody may send it."""
        metas = self._in_parts(who, self.of(FrameWork), shards)
        return self._make(Op.RUN_PARTS, args, metas)

    def dispute(
        self, who: Pubkey, args: Dispute, work: Pubkey, shards: Sequence[Pubkey]
    ) -> Instruction:
        """Goes on with computing a committed frame again in a FrameDispute of `who`."""
        return self._make(Op.DISPUTE, args, self._in_parts(who, work, shards))

    def _in_parts(self, who: Pubkey, work: Pubkey, shards: Sequence[Pubkey]) -> list[AccountMeta]:
        first, *others = shards
        metas = [writable(self.address), signing(who), *self._own(), readonly(first)]
        return [*metas, writable(work), *map(readonly, others)]

    def challenge(self, who: Pubkey, scratch: Pubkey, image: Pubkey) -> Instruction:
        """Computes the last committed frame again, and ends the session if it differs."""
        metas = [
            writable(self.address),
            signing(who),
            *self._own(),
            readonly(image),
            writable(scratch),
        ]
        return self._make(Op.CHALLENGE, None, metas)

    def _own(self) -> list[AccountMeta]:
        return [writable(self.of(cls)) for cls in OWN]

    def _make(
        self, op: Op, args: object, metas: Sequence[AccountMeta], more: bytes = b""
    ) -> Instruction:
        return _make(self.program, op, args, metas, more)


def create_shard(program: Pubkey, shard: Pubkey, who: Pubkey, args: CreateShard) -> Instruction:
    """The shard's own key signs, as a session's."""
    return _make(program, Op.CREATE_SHARD, args, [paying(shard), signing(who)])


def upload(program: Pubkey, shard: Pubkey, who: Pubkey, at: int, data: bytes) -> Instruction:
    return _make(program, Op.UPLOAD, Upload(at), [writable(shard), signing(who)], data)


def finalize(program: Pubkey, shard: Pubkey, who: Pubkey) -> Instruction:
    """The program hashes the data and compares; from then on it never changes."""
    return _make(program, Op.FINALIZE, None, [writable(shard), signing(who)])


def _make(
    program: Pubkey, op: Op, args: object, metas: Sequence[AccountMeta], more: bytes = b""
) -> Instruction:
    body = b"" if args is None else borsh.encode(args)
    return Instruction(program, bytes([op]) + body + more, list(metas))


def elf() -> bytes:
    """The built program, as committed."""
    return resources.files("crank.solana").joinpath(ELF).read_bytes()


def history_tail(max_frames: int) -> int:
    """Bytes behind an InputHistory's fields."""
    return 2 * accounts.INPUT_BYTES * max_frames


def header() -> str:
    """The text of onchain/layout.h."""
    cfg = EncodingConfig()
    constants = {
        "ENTRY_BYTES": accounts.ENTRY_BYTES,
        "LOG_ENTRIES": accounts.LOG_ENTRIES,
        "INPUT_BYTES": accounts.INPUT_BYTES,
        "PLAYER_BYTES": borsh.record_size(PlayerState),
        "TAIL_PADDING": accounts.TAIL_PADDING,
        "SLOTS": accounts.SLOTS,
        "DIGEST_BYTES": DIGEST_BYTES,
        "CHARACTERS": cfg.character_vocab,
        "STAGES": cfg.stage_vocab,
        "ACTIONS": cfg.action_vocab,
        "START_X": round(SEED_X[1] * UNITS),
        "START_SHIELD": round(SEED_SHIELD * UNITS),
        "START_STOCKS": round(SEED_STOCKS),
        "START_JUMPS": SEED_JUMPS,
        "LANE_BITS": chain_image.LANE_BITS,
        "MOST_SHARDS": chain_image.MOST_SHARDS,
        "WIDE_FORM": chain_image.WIDE_FORM,
        "SPARSE": chain_image.SPARSE,
        "SLICE_ROWS": chain_image.SLICE_ROWS,
        "IMAGE_AT": chain_image.IMAGE_AT,
        "RECORD_ENTRY_BYTES": chain_image.ENTRY_BYTES,
        "RECORD_PARTS": chain_image.PARTS,
        "RECORD_WHOLE": chain_image.WHOLE,
        "RECORD_BIT": chain_image.BIT,
        "RECORD_INDEX": chain_image.INDEX,
        **{f"STATUS_{name.upper()}": i for i, name in enumerate(accounts.STATUS)},
    }
    lines = [
        "/* Made by `python -m crank.solana.program` from the Python definitions. */",
        "#ifndef LAYOUT_H",
        "#define LAYOUT_H",
        "",
        *(f"#define {name} ({value})" for name, value in constants.items()),
    ]
    lines.append(f"#define IMAGE_MAGIC {_word(chain_image.MAGIC)}")
    lines.append(f"#define CALL_IMAGE_MAGIC {_word(chain_image.CALL_MAGIC)}")
    places = [f"{{{at}, {type_.size}}}" for at, type_ in borsh.layout(PlayerState).values()]
    lines.append(f"#define PLAYER_STATE_PLACES {{{', '.join(places)}}}")
    for cls in (SessionState, *OWN, WeightShard, FrameWork, FrameDispute):
        lines += ["", f"#define {_upper(cls)}_KIND {_word(accounts.discriminator(cls))}"]
        lines += _offsets(_upper(cls), cls, 8)
        lines.append(f"#define {_upper(cls)}_SIZE ({accounts.account_size(cls)})")
        seed = accounts.seed_of(cls)
        lines.append(f'#define {_upper(cls)}_ADDRESS "{seed}"')
    for cls in (PlayerState, accounts.CompressedFrame, accounts.CompressedPlayer):
        lines += ["", *_offsets(_upper(cls), cls, 0)]
    lines.append("")
    for op in Op:
        lines.append(f"#define OP_{op.name} ({op.value})")
        cls = ARGUMENTS.get(op)
        if cls:
            lines += _offsets(_upper(cls), cls, 1)
        size = 1 + (borsh.record_size(cls) if cls else 0)
        lines.append(f"#define OP_{op.name}_SIZE ({size})")
    lines += ["", "enum {", *(f"  ERR_{e.name} = {e.value}," for e in Error), "};", "", "#endif"]
    return "\n".join(lines) + "\n"


def _upper(cls: type) -> str:
    return accounts.seed_of(cls).upper().replace("-", "_")


def _offsets(prefix: str, cls: type, start: int) -> list[str]:
    return [
        f"#define {prefix}_{name.upper()} ({start + at})"
        for name, (at, _) in borsh.layout(cls).items()
    ]


def _word(data: bytes) -> str:
    return f"0x{int.from_bytes(data, 'little'):016x}ul"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


if __name__ == "__main__":
    print(header(), end="")
