/* LZMA without a header, as its public specification has it, out of one piece of memory into another.
 *
 * The settings are those that payload.py packs with. Only what came out is trusted, and only after its checksum
 * was compared: what is damaged makes wrong bytes here, or an end before the end, and never leaves either piece.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PREVIOUS_BITS = 4, PLACE_BITS = 2, PLACES = 1 << PLACE_BITS, STATES = 12 };

/* That the next bit is 0, of 2048. */
typedef uint16_t chance;
struct lengths {
    chance is_long, is_longest, low[PLACES][8], middle[PLACES][8], high[256];
};
static struct {
    chance literal[1 << PREVIOUS_BITS][0x300];
    chance is_match[STATES][PLACES], is_repeated[STATES], is_older[STATES], is_third[STATES], is_fourth[STATES];
    chance is_longer[STATES][PLACES], slot[4][64], middle[115], low[16];
    struct lengths fresh, repeated;
} chances;

/* The part of the input that was not read yet, and the range decoder. */
static const unsigned char *input, *input_end;
static uint32_t range, code;

static void refill(void) {
    if (range >> 24) return;
    range <<= 8;
    code = code << 8 | (input < input_end ? *input++ : 0);
}

static unsigned bit(chance *of) {
    uint32_t bound = (range >> 11) * *of;
    unsigned is_one = code >= bound;
    if (is_one) {
        range -= bound;
        code -= bound;
        *of -= *of >> 5;
    } else {
        range = bound;
        *of += (2048 - *of) >> 5;
    }
    refill();
    return is_one;
}

/* A number of so many bits, the highest first. */
static unsigned number(chance *tree, unsigned bits) {
    unsigned node = 1;
    for (unsigned i = 0; i < bits; i++) node = node << 1 | bit(tree + node);
    return node - (1U << bits);
}

/* The same, the lowest first. */
static uint32_t reversed(chance *tree, unsigned bits) {
    unsigned node = 1;
    uint32_t found = 0;
    for (unsigned i = 0; i < bits; i++) {
        unsigned one = bit(tree + node);
        node = node << 1 | one;
        found |= (uint32_t)one << i;
    }
    return found;
}

static size_t length(struct lengths *of, unsigned place) {
    if (!bit(&of->is_long)) return 2 + number(of->low[place], 3);
    if (!bit(&of->is_longest)) return 10 + number(of->middle[place], 3);
    return 18 + number(of->high, 8);
}

/* How far back a match is, less one. */
static uint32_t distance(size_t length) {
    unsigned slot = number(chances.slot[length < 6 ? length - 2 : 3], 6), bits = (slot >> 1) - 1;
    if (slot < 4) return slot;
    uint32_t found = (2 | (slot & 1)) << bits;
    if (slot < 14) return found + reversed(chances.middle + found - slot, bits);
    uint32_t plain = 0;
    for (unsigned i = 4; i < bits; i++) {
        range >>= 1;
        unsigned one = code >= range;
        code -= one ? range : 0;
        plain = plain << 1 | one;
        refill();
    }
    return found + (plain << 4) + reversed(chances.low, 4);
}

/* How many of the `bytes` could be unpacked. */
static size_t unlzma(unsigned char *into, size_t bytes, const unsigned char *from, const unsigned char *end) {
    size_t at = 0;
    uint32_t back[4] = {0};
    unsigned state = 0;
    for (size_t i = 0; i < sizeof chances / sizeof(chance); i++) ((chance *)&chances)[i] = 1024;
    input = from;
    input_end = end;
    range = code = 0;
    for (int i = 0; i < 5; i++) refill();
    range = 0xFFFFFFFF;
    while (at < bytes) {
        unsigned place = at & (PLACES - 1);
        if (!bit(&chances.is_match[state][place])) {
            chance *tree = chances.literal[at ? into[at - 1] >> (8 - PREVIOUS_BITS) : 0];
            unsigned node = 1;
            if (state >= 7) { /* it differs from what stands where the last match would have gone on */
                unsigned there = 0x100 | into[at - back[0] - 1], same = 1;
                while (same && node < 0x100) {
                    unsigned theirs = there >> 7 & 1, one = bit(tree + ((1 + theirs) << 8) + node);
                    there <<= 1;
                    node = node << 1 | one;
                    same = one == theirs;
                }
            }
            while (node < 0x100) node = node << 1 | bit(tree + node);
            into[at++] = (unsigned char)node;
            state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
            continue;
        }
        size_t copied = 1;
        if (!bit(&chances.is_repeated[state])) {
            memmove(back + 1, back, 3 * sizeof *back);
            copied = length(&chances.fresh, place);
            back[0] = distance(copied);
            state = state < 7 ? 7 : 10;
        } else {
            unsigned older = bit(&chances.is_older[state]);
            if (older && bit(&chances.is_third[state])) older = 2 + bit(&chances.is_fourth[state]);
            if (!older && !bit(&chances.is_longer[state][place])) {
                state = state < 7 ? 9 : 11;
            } else {
                uint32_t chosen = back[older];
                memmove(back + 1, back, older * sizeof *back);
                back[0] = chosen;
                copied = length(&chances.repeated, place);
                state = state < 7 ? 8 : 11;
            }
        }
        if (back[0] >= at || copied > bytes - at) return at;
        for (; copied; copied--, at++) into[at] = into[at - back[0] - 1];
    }
    return at;
}
