/**
 * Messages to the person who runs the program. The library is silent until a program sets a sink.
 */
#ifndef SN_BASE_LOG_H
#define SN_BASE_LOG_H

typedef enum sn_log_level {
    SN_LOG_WARNING, /* the result may not be what was meant */
    SN_LOG_INFO,    /* what is being done and why */
    SN_LOG_DEBUG,   /* for finding faults */
} sn_log_level;

/** Receives one message, without a newline; called by one thread at a time. */
typedef void sn_log_sink(void *context, sn_log_level level, const char *text);

/** Send messages up to `level` to `sink`; NULL makes the library silent again. */
void sn_log_set_sink(sn_log_sink *sink, void *context, sn_log_level level);

/** Say something; as printf. Goes nowhere without a sink. */
void sn_log(sn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
