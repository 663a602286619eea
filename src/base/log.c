#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sn_log_sink *current_sink;
static void *current_context;
static sn_log_level current_level;

void sn_log_set_sink(sn_log_sink *sink, void *context, sn_log_level level)
{
    pthread_mutex_lock(&lock);
    current_sink = sink;
    current_context = context;
    current_level = level;
    pthread_mutex_unlock(&lock);
}

void sn_log(sn_log_level level, const char *format, ...)
{
    pthread_mutex_lock(&lock);
    if (current_sink != NULL && level <= current_level) {
        char text[1024];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        current_sink(current_context, level, text);
    }
    pthread_mutex_unlock(&lock);
}
