/**
 * Options of a command from one table: parsing, checking, `--help` and the error messages all read it.
 */
#ifndef SN_CLI_OPTIONS_H
#define SN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/device.h"
#include "base/status.h"

/* What an option takes, and the type its target points to. */
typedef enum cli_kind {
    CLI_FLAG,    /* bool: nothing follows, becomes true */
    CLI_TEXT,    /* const char *: any text; points into argv */
    CLI_INTEGER, /* int64_t within [minimum, maximum] */
    CLI_NUMBER,  /* double within [minimum, maximum] */
    CLI_SIZE,    /* int64_t[3], D H W: "128", "48x64x48", or "auto", which is 0 0 0 */
    CLI_MEMORY,  /* int64_t bytes: "16G", "512M" */
    CLI_CHOICE,  /* const char *: one of the words that `value` lists, split by '|' */
    CLI_DEVICE,  /* const char *: "cpu", "cuda", or up to `maximum` GPUs: "cuda:1", "cuda:0,2" */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* short form, or 0 */
    cli_kind kind;
    const char *value;       /* how help and messages call the value: "N", "cpu|cuda"; NULL for a flag */
    void *target;            /* what is set; its value before parsing is the default */
    const char *help;        /* what it does, without a full stop */
    double minimum, maximum; /* CLI_INTEGER, CLI_NUMBER: both 0 means no limits */
    bool required;
} cli_option;

typedef struct cli_syntax {
    const char *command; /* "train" */
    const char *usage;   /* what follows "segnas3d train": "DATASET -o MODEL" */
    const char *about;   /* a paragraph or two for --help */
    const cli_option *options;
    int operands_min, operands_max; /* how many arguments are no options; a negative maximum: any number */
} cli_syntax;

/**
 * Parse a command's arguments. Prints the help and ends the process with 0 where --help is given.
 *
 * @param[in]     syntax the table; options' targets are set
 * @param[in]     argc   arguments, argv[0] being the command's name
 * @param[in,out] argv   operands are moved to its front: argv[0..*operands-1]
 * @return SN_OK; SN_ERR_ARG naming the option, the value, what it should be, and the nearest option's name
 */
sn_status cli_parse(int *operands, const cli_syntax *syntax, int argc, char **argv, sn_error *error);

/** The row of --device, which may name up to `gpus` GPUs. */
cli_option cli_option_device(const char **target, int gpus, const char *help);

/** The row of --precision. */
cli_option cli_option_precision(const char **target);

/** What --precision means on a device, as sn_device_precision makes it definite. */
sn_status cli_precision_resolve(sn_precision *precision, const char *text, const char *device,
                                sn_error *error);

/** Parse bytes, at least 1M: digits, perhaps a fraction, and K, M, G or T (powers of 1024; "GiB" is "G"). */
sn_status cli_memory_parse(int64_t *bytes, const char *text, sn_error *error);

/** Nine tenths of what so many trainings may plan for together (sn_device_memory), in bytes. */
sn_status cli_memory_together(int64_t *bytes, const char *device, int trainings, sn_error *error);
/** The budget where --memory is not given: the same of one. SN_ERR_MEMORY where a GPU has too little for any. */
sn_status cli_memory_default(int64_t *bytes, const char *device, sn_error *error);

/** The word of `count` words nearest to `word` by edit distance, or NULL where none is near enough to
 * suggest. */
const char *cli_nearest(const char *word, const char *const *words, int count);

#endif
