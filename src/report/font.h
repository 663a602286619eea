/**
 * The letters of the figures: 5 x 9 dots each, printable ASCII.
 */
#ifndef SN_REPORT_FONT_H
#define SN_REPORT_FONT_H

#include <stdint.h>

enum { SN_FONT_COLUMNS = 5, SN_FONT_ROWS = 9, SN_FONT_FIRST = 32, SN_FONT_LAST = 126 };

/* By character from SN_FONT_FIRST; rows from the top, the leftmost dot in bit 4; the last two rows hang
 * below. */
extern const uint8_t sn_font[SN_FONT_LAST - SN_FONT_FIRST + 1][SN_FONT_ROWS];

#endif
