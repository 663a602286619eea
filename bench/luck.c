/*
 * Does an optimiser beat luck? Replays each algorithm over a study that knows the answer of every point of its
 * space, with many seeds, and compares the best validation Dice at equal budgets. Nothing is trained.
 *
 * Usage: bench_luck STUDY FIGURE [SEEDS]     SEEDS: default 50
 * The study is one of a small space of whole numbers, made for example with
 *     segnas3d search DATASET -o STUDY --space FILE --algorithm random --iterations N
 * and an N that is large enough; a point that it does not know is an error, exit code 3.
 *
 * Two budgets: networks trained, which is what a search costs since a repeated, an illegal and a too large point
 * cost nothing; and points asked. "luck" is the expectation for networks drawn without repetition, by formula:
 * of T of N networks, with Dice v_1 >= v_2 >= ..., the best is v_i with probability C(N-i, T-1) / C(N, T).
 *
 * Prints Markdown tables: mean over the seeds and standard error of the mean. Writes the courses to FIGURE, an
 * SVG file.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/space.h"
#include "base/file.h"
#include "base/memory.h"
#include "search/optimiser.h"
#include "search/search.h"

enum {
    MOST_SEEDS = 1000,
    POINTS = 1000, /* asked in a replay, at most */
    PAPER = 300,   /* points asked in the paper's searches */
    RACERS = 7,    /* six ways to search, and luck */
    LUCK = RACERS - 1,
    COLUMNS = 5,
};

/* ---- the table ---- */

/* Every answer of a space. */
typedef struct luck_table {
    sn_space space;
    json_t *answers;  /* object: arch -> {"network": key or null, "dice": number or null, "f": number} */
    double *networks; /* (count) Dice of every network that gave one, the highest first */
    int count;
    int points; /* of the space */
} luck_table;

static sn_status answer_add(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    luck_table *self = context;
    json_t *dice = isfinite(iteration->dice) ? json_real(iteration->dice) : json_null();
    json_t *answer =
        json_pack("{s:s?, s:o, s:f}", "network", iteration->network, "dice", dice, "f", iteration->f);
    if (answer == NULL || json_object_set_new(self->answers, iteration->arch, answer) != 0)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the answers of the space");
    return SN_OK;
}

static int compare_falling(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left < right) - (left > right);
}

/* The Dice of every network, each once. */
static sn_status networks_collect(luck_table *self, sn_error *error)
{
    sn_status status;
    json_t *known = json_object(), *answer;
    const char *arch;
    SN_TRY(sn_alloc(&self->networks, json_object_size(self->answers), sizeof *self->networks, error));
    json_object_foreach(self->answers, arch, answer)
    {
        const char *network = json_string_value(json_object_get(answer, "network"));
        const json_t *dice = json_object_get(answer, "dice");
        if (!json_is_real(dice) || json_object_get(known, network) != NULL)
            continue;
        json_object_set_new(known, network, json_true());
        self->networks[self->count++] = json_real_value(dice);
    }
    qsort(self->networks, (size_t)self->count, sizeof *self->networks, compare_falling);
done:
    json_decref(known);
    return status;
}

/* A study in which a training was stopped early does not tell what its network can do. */
static sn_status study_check(const luck_table *self, sn_study *study, sn_error *error)
{
    json_t *rule = NULL;
    sn_status status = sn_study_setting_get(&rule, study, "stop_rule", error);
    bool stops = rule != NULL && strcmp(json_string_value(rule), "none") != 0;
    json_decref(rule);
    if (status == SN_OK && stops)
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: its trainings were stopped early", sn_study_folder(study));
    if (status == SN_OK && (int)json_object_size(self->answers) < self->points)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: knows %d of %d points; go on with more --iterations",
                              sn_study_folder(study), (int)json_object_size(self->answers), self->points);
    return status;
}

static sn_status table_load(luck_table *self, const char *folder, sn_error *error)
{
    sn_status status;
    sn_study *study = NULL;
    json_t *space = NULL;
    *self = (luck_table){.answers = json_object()};
    SN_TRY(sn_study_open_read(&study, folder, error));
    SN_TRY(sn_study_setting_get(&space, study, "space", error));
    SN_TRY(sn_space_from_json(&self->space, space, folder, error));
    if (sn_space_size(&self->space) > 10000) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: its space has more than 10000 points", folder);
        goto done;
    }
    self->points = (int)sn_space_size(&self->space);
    SN_TRY(sn_study_iterations_visit(study, answer_add, self, error));
    SN_TRY(study_check(self, study, error));
    SN_TRY(networks_collect(self, error));
done:
    sn_study_close(study);
    json_decref(space);
    return status;
}

static void table_clear(luck_table *self)
{
    sn_space_clear(&self->space);
    json_decref(self->answers);
    sn_free(self->networks);
}

/* ---- a replay ---- */

/* One search over the table. */
typedef struct replay {
    const luck_table *table;
    json_t *met;                 /* object: networks trained so far */
    double best;                 /* Dice; 0: none yet */
    double *by_training;         /* (count + 1) best after so many networks */
    double by_point[POINTS + 1]; /* best after so many points */
    int points, trained, trained_by_paper;
    sn_status status;
    sn_error *error;
} replay;

/* Answer a question from the table and note what it gives. */
static bool answer(double *value, const double *x, void *context)
{
    replay *self = context;
    sn_arch arch;
    sn_reals reals;
    char *text = NULL;
    if (self->points == POINTS)
        return false;
    sn_space_arch(&arch, &self->table->space, x);
    sn_space_reals(&reals, &self->table->space, x);
    self->status = sn_reals_format(&text, &arch, &reals, self->error);
    if (self->status != SN_OK)
        return false;
    const json_t *found = json_object_get(self->table->answers, text);
    const json_t *dice = json_object_get(found, "dice");
    const char *network = json_string_value(json_object_get(found, "network"));
    sn_free(text);
    *value = json_number_value(json_object_get(found, "f"));
    if (json_is_real(dice)) {
        self->best = fmax(self->best, json_real_value(dice));
        if (json_object_get(self->met, network) == NULL)
            self->by_training[++self->trained] = self->best;
        json_object_set_new(self->met, network, json_true());
    }
    self->by_point[++self->points] = self->best;
    self->trained_by_paper = self->points <= PAPER ? self->trained : self->trained_by_paper;
    return true;
}

/* Search once; an algorithm that has come to its end, as a converged one does, stays where it is. */
static sn_status replay_run(replay *self, const sn_optimiser_settings *settings, sn_error *error)
{
    double x[SN_ARCH_FIELDS + SN_ARCH_MAX_OPS + SN_REALS];
    self->error = error;
    self->met = json_object();
    sn_status status = sn_optimiser_follow(x, settings, NULL, NULL, 0, answer, self, error);
    json_decref(self->met);
    if (self->status != SN_OK)
        return self->status;
    if (status == SN_ERR_FAILED && self->points > 0)
        status = SN_OK;
    for (int i = self->trained + 1; i <= self->table->count; i++)
        self->by_training[i] = self->best;
    for (int i = self->points + 1; i <= POINTS; i++)
        self->by_point[i] = self->best;
    return status;
}

/* ---- many replays ---- */

/* One way to search, over all seeds. */
typedef struct luck_racer {
    const char *name;
    double *mean, *error; /* (count + 1) of the best after so many networks: mean, its standard error */
    double paper_mean, paper_error, paper_trained; /* after PAPER points */
    double found;                                  /* share of seeds that met the best network by then */
} luck_racer;

/* Sums of values and their squares become mean and standard error. */
static void settle(double *mean, double *error, int seeds)
{
    *mean /= seeds;
    *error = sqrt(fmax(*error / seeds - *mean * *mean, 0) / fmax(seeds - 1, 1));
}

static void racer_add(luck_racer *self, const replay *run, int count)
{
    double paper = run->by_point[PAPER];
    for (int i = 1; i <= count; i++) {
        self->mean[i] += run->by_training[i];
        self->error[i] += run->by_training[i] * run->by_training[i];
    }
    self->paper_mean += paper;
    self->paper_error += paper * paper;
    self->paper_trained += run->trained_by_paper;
    self->found += paper == run->table->networks[0];
}

static sn_status racer_create(luck_racer *self, const char *name, int count, sn_error *error)
{
    sn_status status;
    self->name = name;
    SN_TRY(sn_alloc(&self->mean, (size_t)count + 1, sizeof(double), error));
    SN_TRY(sn_alloc(&self->error, (size_t)count + 1, sizeof(double), error));
done:
    return status;
}

static sn_status racer_run(luck_racer *self, const luck_table *table, sn_optimiser_settings *settings,
                           int seeds, sn_error *error)
{
    sn_status status = SN_OK;
    double *by_training = NULL;
    for (int seed = 1; seed <= seeds; seed++) {
        SN_TRY(sn_alloc(&by_training, (size_t)table->count + 1, sizeof(double), error));
        replay run = {.table = table, .by_training = by_training};
        settings->seed = (uint32_t)seed;
        SN_TRY(replay_run(&run, settings, error));
        racer_add(self, &run, table->count);
        sn_free(by_training);
        by_training = NULL;
    }
    for (int i = 1; i <= table->count; i++)
        settle(&self->mean[i], &self->error[i], seeds);
    settle(&self->paper_mean, &self->paper_error, seeds);
    self->paper_trained /= seeds;
    self->found /= seeds;
done:
    sn_free(by_training);
    return status;
}

/* The expected best of networks drawn without repetition. */
static void luck_reckon(luck_racer *self, const luck_table *table)
{
    for (int drawn = 1; drawn <= table->count; drawn++) {
        double chance = (double)drawn / table->count; /* that the best is v_i; here i = 1 */
        for (int i = 1; i <= table->count - drawn + 1; i++) {
            self->mean[drawn] += chance * table->networks[i - 1];
            /* C(N-i-1, T-1) / C(N-i, T-1) = (N-i-T+1) / (N-i) */
            chance *= (double)(table->count - i - drawn + 1) / fmax(table->count - i, 1);
        }
    }
}

static sn_status race(luck_racer *racers, const luck_table *table, int seeds, sn_error *error)
{
    static const struct {
        const char *name;
        sn_optimiser_algorithm algorithm;
        bool small; /* a population of 2 (n_h + 1) */
    } ways[LUCK] = {
        {"crs", SN_OPTIMISER_CRS2_LM, false},   {"crs, population 2 (n_h+1)", SN_OPTIMISER_CRS2_LM, true},
        {"random", SN_OPTIMISER_RANDOM, false}, {"esch", SN_OPTIMISER_ESCH, false},
        {"isres", SN_OPTIMISER_ISRES, false},   {"direct", SN_OPTIMISER_DIRECT, false},
    };
    sn_status status;
    double lower[SN_ARCH_FIELDS + SN_ARCH_MAX_OPS + SN_REALS],
        upper[SN_ARCH_FIELDS + SN_ARCH_MAX_OPS + SN_REALS];
    int dimension = sn_space_dimensions(&table->space);
    sn_space_bounds(&table->space, lower, upper);
    for (int i = 0; i < LUCK; i++) {
        sn_optimiser_settings settings = {
            .algorithm = ways[i].algorithm, .dimension = dimension, .lower = lower, .upper = upper};
        settings.population =
            ways[i].small ? 2 * (dimension + 1) : sn_optimiser_population(ways[i].algorithm, dimension);
        SN_TRY(racer_create(&racers[i], ways[i].name, table->count, error));
        SN_TRY(racer_run(&racers[i], table, &settings, seeds, error));
    }
    SN_TRY(racer_create(&racers[LUCK], "luck, by formula", table->count, error));
    luck_reckon(&racers[LUCK], table);
done:
    return status;
}

/* ---- what is shown ---- */

/* Networks trained at a column of the table: an eighth, a quarter, ... of all. */
static int column_trained(const luck_table *table, int column)
{
    static const double shares[COLUMNS] = {0.0625, 0.125, 0.25, 0.5, 0.75};
    return (int)fmax(1, round(shares[column] * table->count));
}

static void print_tables(const luck_racer *racers, const luck_table *table, int seeds)
{
    printf("%d points, %d networks with a Dice: best %.4f, median %.4f, worst %.4f; %d seeds\n\n",
           table->points, table->count, table->networks[0], table->networks[table->count / 2],
           table->networks[table->count - 1], seeds);
    printf("| networks trained |");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %d |", column_trained(table, c));
    printf(" after %d points | networks by then | best one found |\n|---|", PAPER);
    for (int c = 0; c < COLUMNS + 3; c++)
        printf("---|");
    for (int i = 0; i < RACERS; i++) {
        printf("\n| %s |", racers[i].name);
        for (int c = 0; c < COLUMNS; c++) {
            int trained = column_trained(table, c);
            printf(i == LUCK ? " %.4f |" : " %.4f ± %.4f |", racers[i].mean[trained],
                   racers[i].error[trained]);
        }
        if (i == LUCK)
            printf(" | | |");
        else
            printf(" %.4f ± %.4f | %.0f | %.0f %% |", racers[i].paper_mean, racers[i].paper_error,
                   racers[i].paper_trained, 100 * racers[i].found);
    }
    printf("\n");
}

enum { WIDTH = 760, HEIGHT = 440, LEFT = 70, RIGHT = 20, TOP = 20, BOTTOM = 50 };

/* The part of the plane that is drawn. */
typedef struct plot_frame {
    double networks, least, most; /* x from 1 to networks, logarithmic; y from least to most */
} plot_frame;

static double place_x(const plot_frame *self, double trained)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * log(trained) / log(self->networks);
}

static double place_y(const plot_frame *self, double dice)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (self->most - dice) / (self->most - self->least);
}

static void draw_axes(FILE *file, const plot_frame *self)
{
    double step = pow(10, floor(log10(self->most - self->least)));
    double steps = (self->most - self->least) / step;
    step = steps < 3 ? step / 5 : steps < 6 ? step / 2 : step;
    for (double dice = ceil(self->least / step) * step; dice <= self->most; dice += step)
        fprintf(file,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3f</text>\n",
                LEFT, place_y(self, dice), WIDTH - RIGHT, LEFT - 8, place_y(self, dice) + 4, dice);
    for (int trained = 1; trained <= self->networks; trained *= 2)
        fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", place_x(self, trained),
                HEIGHT - BOTTOM + 20, trained);
    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">networks trained</text>\n", WIDTH / 2,
            HEIGHT - 8);
    fprintf(file,
            "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">best validation "
            "Dice so far, mean</text>\n",
            HEIGHT / 2);
}

static void draw_course(FILE *file, const plot_frame *self, const luck_racer *racer, int index)
{
    static const char *const colours[RACERS] = {"#c1272d", "#e8871e", "#0000a7", "#008176",
                                                "#8a4fae", "#6b6b6b", "#000000"};
    const char *dashes = index == LUCK ? " stroke-dasharray=\"3 4\"" : "";
    int y = HEIGHT - BOTTOM - 20 * (RACERS - index);
    fprintf(file, "<path fill=\"none\" stroke-width=\"2\" stroke=\"%s\"%s d=\"", colours[index], dashes);
    for (int i = 1; i <= self->networks; i++)
        fprintf(file, "%c%.1f %.1f", i == 1 ? 'M' : 'L', place_x(self, i), place_y(self, racer->mean[i]));
    fprintf(
        file,
        "\"/>\n<path stroke-width=\"2\" stroke=\"%s\"%s d=\"M%d %dh30\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
        colours[index], dashes, WIDTH - 260, y, WIDTH - 222, y + 4, racer->name);
}

static sn_status draw(const char *path, const luck_racer *racers, const luck_table *table, sn_error *error)
{
    sn_status status;
    sn_file_writer *writer = NULL;
    plot_frame frame = {table->count, 1, table->networks[0]};
    for (int i = 0; i < RACERS; i++)
        frame.least = fmin(frame.least, racers[i].mean[1]);
    frame.most += 0.02 * (frame.most - frame.least);
    SN_TRY(sn_file_writer_open(&writer, path, error));
    FILE *file = sn_file_writer_stream(writer);
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"13\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_axes(file, &frame);
    for (int i = 0; i < RACERS; i++)
        draw_course(file, &frame, &racers[i], i);
    fprintf(file, "</svg>\n");
    SN_TRY(sn_file_writer_commit(writer, error));
done:
    sn_file_writer_close(writer);
    return status;
}

/* ---- the program ---- */

static sn_status measure(const char *folder, const char *figure, int seeds, sn_error *error)
{
    sn_status status;
    luck_table table;
    luck_racer racers[RACERS] = {{.name = NULL}};
    SN_TRY(table_load(&table, folder, error));
    SN_TRY(race(racers, &table, seeds, error));
    print_tables(racers, &table, seeds);
    SN_TRY(draw(figure, racers, &table, error));
done:
    for (int i = 0; i < RACERS; i++) {
        sn_free(racers[i].mean);
        sn_free(racers[i].error);
    }
    table_clear(&table);
    return status;
}

int main(int argc, char **argv)
{
    sn_error error = SN_ERROR_INIT;
    int seeds = argc > 3 ? atoi(argv[3]) : 50;
    if (argc < 3 || argc > 4 || seeds < 1 || seeds > MOST_SEEDS) {
        fprintf(stderr, "usage: bench_luck STUDY FIGURE [SEEDS]\n");
        return sn_status_exit_code(SN_ERR_ARG);
    }
    sn_status status = measure(argv[1], argv[2], seeds, &error);
    if (status != SN_OK)
        fprintf(stderr, "bench_luck: %s\n", error.text);
    return sn_status_exit_code(status);
}
